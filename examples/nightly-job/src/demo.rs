//! Many processes on one machine, in place of one on each of many.

use std::error::Error;

use diesel_locks_examples::{Scratch, Workers};

pub(crate) fn demo(
    server: &str,
    processes: usize,
    kill_the_winner: bool,
) -> Result<(), Box<dyn Error>> {
    let scratch = Scratch::create(server, "nightly_demo")?;
    let mut workers = Workers::start(processes, &scratch.url(), &["run", "--work", "1"], &[])?;
    let (mut working, mut made, mut stood_aside) = (0, 0, 0);
    while let Some((number, line)) = workers.next_line() {
        println!("process {}: {line}", number + 1);
        if line == "working" {
            working += 1;
            if kill_the_winner && working == 1 {
                workers.kill(number)?;
                println!("process {}: killed", number + 1);
            }
        }
        made += usize::from(line.starts_with("made"));
        stood_aside += usize::from(line.starts_with("stood aside"));
    }
    let killed = usize::from(kill_the_winner);
    println!("{made} made the report, {stood_aside} stood aside, {killed} was killed");
    // A process killed after its last statement has made the report.
    let all_ended = made + stood_aside + killed == processes;
    if all_ended && working - killed == made && made == 1 {
        Ok(())
    } else {
        Err("the lock did not keep the processes apart".into())
    }
}
