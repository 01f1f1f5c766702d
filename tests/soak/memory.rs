//! The memory and the prepared statements that acquiring and releasing leaves behind.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_locks::{Error, Lock};

use crate::scene::Scene;

/// How much the resident memory may vary without a leak, in bytes.
const NOISE: u64 = 512 * 1024;

#[derive(Debug, QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

fn status(conn: &mut MysqlConnection, name: &str) -> u64 {
    let shown: Status =
        diesel::sql_query(format!("SHOW STATUS LIKE '{name}'")).get_result(conn).unwrap();
    shown.value.parse().unwrap()
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().map_or(0, |kb: u64| kb * 1024)
}

/// Acquires and releases this often under one name, and as often under different names.
pub(crate) fn pairs(scene: &Scene, pairs: u32) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, different) in [("one name", false), ("different names", true)] {
        let mut conn = scene.inside();
        let mut pair = |n: u32| -> Result<(), Error> {
            let name = format!("pair-{}", if different { n } else { 0 });
            Lock::new(&name).acquire(&mut conn)?.release().map(drop)
        };
        (0..1_000).try_for_each(&mut pair).unwrap();
        let before = resident();
        let counted = scene.prepared();
        (1_000..1_000 + pairs).try_for_each(&mut pair).unwrap();
        let (grown, more) = (resident().saturating_sub(before), scene.prepared());
        println!(
            "{pairs} pairs, {what}: {} KiB more in this process, {} prepared statements before, {} after",
            grown / 1024,
            counted,
            more
        );
        if grown > NOISE {
            faults.push(format!("{what}: {grown} bytes more after {pairs} pairs"));
        }
        if more != counted {
            faults.push(format!("{what}: {counted} prepared statements became {more}"));
        }
        let left: String = diesel::select(sql::<Text>("CAST(RELEASE_ALL_LOCKS() AS CHAR)"))
            .get_result(&mut conn)
            .unwrap();
        if left != "0" {
            faults.push(format!("{what}: {left} locks left"));
        }
    }
    faults
}

impl Scene {
    /// Returns how many prepared statements the server has.
    fn prepared(&self) -> u64 {
        status(&mut self.outside(), "Prepared_stmt_count")
    }
}
