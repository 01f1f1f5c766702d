//! Five processes on one machine, in place of replicas, and what happens to their leaders.

use std::error::Error;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks_examples::{Scratch, Workers};

use crate::network::Network;
use crate::replica::{LEADER, leaders, steps};

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// Longer than anything takes here, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub(crate) fn demo(server: &str) -> Result<()> {
    let scratch = Scratch::create(server, "leader_demo")?;
    let url = scratch.url();
    let mut conn = MysqlConnection::establish(&url)?;
    conn.batch_execute(
        "CREATE TABLE leaders (term BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(20) NOT NULL); \
         CREATE TABLE steps (id INT PRIMARY KEY AUTO_INCREMENT, term BIGINT UNSIGNED NOT NULL)",
    )?;
    diesel_locks::Lock::create_fences(&mut conn)?;
    // Each replica reaches the server through its own network.
    let (before, host, after) = address(&url).ok_or("the URL has no host")?;
    let networks = NAMES.iter().map(|_| Network::to(&host)).collect::<std::io::Result<Vec<_>>>()?;
    let urls = networks.iter().map(|network| format!("{before}{}{after}", network.host()));
    let processes = urls.zip(NAMES).map(|(url, name)| (url, vec!["replica", name]));
    let mut timeline = Timeline {
        replicas: Workers::start_each(processes)?,
        started: Instant::now(),
        leader: 0,
        term: 0,
    };

    timeline.print("-- five replicas start");
    timeline.until_another_leads(None)?;

    let former = timeline.leader;
    let id = LEADER.holding_connection_id(&mut conn)?.ok_or("there is no leader")?;
    timeline.print(&format!(
        "-- the server closes the connection on which {} has the lock",
        NAMES[former]
    ));
    conn.batch_execute(&format!("KILL CONNECTION {id}"))?;
    timeline.until_another_leads(Some(former))?;

    let former = timeline.leader;
    timeline.print(&format!("-- the process of {} is stopped", NAMES[former]));
    timeline.replicas.signal(former, "STOP")?;
    timeline.until_another_leads(Some(former))?;
    timeline.print(&format!("-- the process of {} goes on", NAMES[former]));
    timeline.replicas.signal(former, "CONT")?;
    timeline.until(former, "refused")?;

    let former = timeline.leader;
    timeline.print(&format!("-- the network of {} is cut", NAMES[former]));
    networks[former].set_cut(true);
    timeline.until_another_leads(Some(former))?;
    timeline.print(&format!("-- the network of {} is mended", NAMES[former]));
    networks[former].set_cut(false);
    timeline.until(former, "refused")?;

    drop(timeline.replicas);
    report(&mut conn)
}

/// Returns what comes before the host and port in a URL, these, and what comes after.
fn address(url: &str) -> Option<(String, String, String)> {
    let at = url.rfind('@')? + 1;
    let end = url[at..].find('/')? + at;
    let host = &url[at..end];
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:3306") };
    Some((url[..at].to_owned(), host, url[end..].to_owned()))
}

/// Fails unless each step was committed before the next term began.
fn report(conn: &mut MysqlConnection) -> Result<()> {
    let terms: Vec<u64> = steps::table.order(steps::id).select(steps::term).load(conn)?;
    let led: i64 = leaders::table.count().get_result(conn)?;
    println!("{} steps in {led} terms, none after the next term has begun", terms.len());
    if terms.is_sorted() { Ok(()) } else { Err("a leader has worked after its term".into()) }
}

/// What has happened so far.
struct Timeline {
    replicas: Workers,
    started: Instant,
    leader: usize,
    term: u64,
}

impl Timeline {
    fn print(&self, line: &str) {
        println!("{:5.1} s  {line}", self.started.elapsed().as_secs_f64());
    }

    /// Prints the next line that a replica has written.
    fn next(&mut self) -> Result<(usize, String)> {
        let next = self.replicas.next_line_within(PATIENCE);
        let (number, line) = next.ok_or("the replicas have fallen silent")?;
        self.print(&format!("{} {line}", NAMES[number]));
        if let Some(term) = line.strip_prefix("leads in term ") {
            (self.leader, self.term) = (number, term.parse()?);
        }
        Ok((number, line))
    }

    /// Waits for a line of this replica.
    fn until(&mut self, replica: usize, begins: &str) -> Result<()> {
        loop {
            let (number, line) = self.next()?;
            if number == replica && line.starts_with(begins) {
                return Ok(());
            }
        }
    }

    /// Waits until a replica leads, and all others know it, except for the former leader.
    fn until_another_leads(&mut self, former: Option<usize>) -> Result<()> {
        let last = self.term;
        let mut followers: Vec<usize> = Vec::new();
        let others = NAMES.len() - 1 - usize::from(former.is_some());
        while self.term == last || followers.len() < others {
            let (number, line) = self.next()?;
            if line.starts_with("leads ") {
                followers.clear();
            }
            if line.ends_with(&format!("in term {}", self.term)) && line.starts_with("follows ") {
                followers.extend((Some(number) != former).then_some(number));
            }
        }
        Ok(())
    }
}
