//! A transaction under a named lock.

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use diesel_locks::{Error, Lock};

use super::{Contender, connect};
use crate::raw::{Raw, Statement, Value};

const NAME: &str = "transaction";
const LOCK: Lock = Lock::new(NAME);

/// All of them with an empty body. The first one is the floor.
pub(crate) fn transactions(url: &str, database: &str) -> Vec<Contender> {
    let full = format!("{database}.{NAME}");
    vec![
        {
            let conn = Raw::connect(url);
            let name = Value::Text(full.clone());
            let acquire = [name.clone(), Value::Number(10)];
            let mut acquire = Statement::prepare(&conn, "SELECT GET_LOCK(?, ?)", &acquire);
            let mut release = Statement::prepare(&conn, "SELECT RELEASE_LOCK(?)", &[name]);
            Contender::new("C client, `GET_LOCK`, `BEGIN`, `COMMIT`, `RELEASE_LOCK`", move || {
                assert_eq!(acquire.run(), 1);
                conn.query("BEGIN");
                conn.query("COMMIT");
                assert_eq!(release.run(), 1);
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("Diesel, `sql_query` around `conn.transaction`", move || {
                diesel::sql_query("DO GET_LOCK(?, ?)")
                    .bind::<Text, _>(&full)
                    .bind::<Integer, _>(10)
                    .execute(&mut conn)
                    .unwrap();
                conn.transaction(|_| QueryResult::Ok(())).unwrap();
                diesel::sql_query("DO RELEASE_LOCK(?)")
                    .bind::<Text, _>(&full)
                    .execute(&mut conn)
                    .unwrap();
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`Lock::with` around `conn.transaction`", move || {
                LOCK.with(&mut conn, |conn| conn.transaction(|_| QueryResult::Ok(()))).unwrap();
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`Lock::transaction`", move || {
                LOCK.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap();
            })
        },
    ]
}
