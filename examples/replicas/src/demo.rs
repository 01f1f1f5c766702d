//! Many processes on one machine, in place of replicas.

use std::error::Error;

use diesel_locks_examples::{Scratch, Workers};

pub(crate) fn demo(server: &str, processes: usize, crash: bool) -> Result<(), Box<dyn Error>> {
    let scratch = Scratch::create(server, "replicas_demo")?;
    let url = scratch.url();
    if crash {
        // Alone, so that it is the one that migrates.
        let alone = Workers::start(1, &url, &["start"], &["--crash"])?;
        while let Some((_, line)) = alone.next_line() {
            println!("replica 0: {line}");
        }
    }
    let replicas = Workers::start(processes, &url, &["start"], &[])?;
    let (mut migrated, mut found_nothing) = (0, 0);
    while let Some((number, line)) = replicas.next_line() {
        println!("replica {}: {line}", number + 1);
        migrated += usize::from(line.starts_with("migrated"));
        found_nothing += usize::from(line == "nothing to do");
    }
    println!("{migrated} migrated, {found_nothing} found nothing to do");
    if migrated == 1 && found_nothing == processes - 1 {
        Ok(())
    } else {
        Err("the database was not migrated by one of them alone".into())
    }
}
