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

pub(crate) fn demo_digest(
    server: &str,
    processes: usize,
    hold_at_least: u64,
) -> Result<(), Box<dyn Error>> {
    let scratch = Scratch::create(server, "digest_demo")?;
    let seconds = hold_at_least.to_string();
    let arguments = ["digest", "--hold-at-least", &seconds];
    let workers = Workers::start(processes, &scratch.url(), &arguments, &[])?;
    let (mut sent, mut stood_aside) = (0, 0);
    // The one that has sent it still holds the lock when all others have ended, and is then
    // stopped.
    while sent + stood_aside < processes {
        let Some((number, line)) = workers.next_line() else {
            return Err("a process has failed".into());
        };
        println!("process {}: {line}", number + 1);
        sent += usize::from(line == "sent the digest");
        stood_aside += usize::from(line == "stood aside");
    }
    println!("{sent} sent the digest, {stood_aside} stood aside");
    if sent == 1 { Ok(()) } else { Err(format!("the digest was sent {sent} times").into()) }
}
