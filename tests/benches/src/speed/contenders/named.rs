//! Named locks.

use diesel::mysql::{Mysql, MysqlConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_locks::{Error, Lock, with_lock};

use super::{Contender, Sent, connect};
use crate::proxy::Proxy;
use crate::raw::{Raw, Statement, Value};
use crate::server;

const NAME: &str = "bench";
const LOCK: Lock = Lock::new(NAME);

/// All of them, on connections to this address, the first one being the floor.
pub(crate) fn named(url: &str, database: &str) -> Vec<Contender> {
    let full = format!("{database}.{NAME}");
    let sent = recorded(database);
    let acquire = [Value::Text(database.to_owned()), Value::Text(full.clone()), Value::Number(10)];
    let release = [Value::Text(full.clone())];
    vec![
        {
            let conn = Raw::connect(url);
            let [_, arguments @ ..] = &acquire;
            let mut get = Statement::prepare(&conn, "SELECT GET_LOCK(?, ?)", arguments);
            let mut let_go = Statement::prepare(&conn, "SELECT RELEASE_LOCK(?)", &release);
            Contender::new("C client, `SELECT GET_LOCK`", move || {
                assert_eq!((get.run(), let_go.run()), (1, 1));
            })
        },
        {
            let conn = Raw::connect(url);
            let mut get = Statement::prepare(&conn, &sent.0, &acquire);
            let mut let_go = Statement::prepare(&conn, &sent.1, &release);
            Contender::new("C client, the library's statements", move || {
                assert_eq!((get.run(), let_go.run()), (1, 1));
            })
        },
        {
            let mut conn = connect(url);
            let get = Replayed::<0> { sql: sent.0, values: acquire.into() };
            let let_go = Replayed::<1> { sql: sent.1, values: release.into() };
            Contender::new("Diesel, the library's statements", move || {
                assert_eq!(conn.execute_returning_count(&get), Ok(1));
                assert_eq!(conn.execute_returning_count(&let_go), Ok(1));
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("Diesel, `sql_query(\"SELECT GET_LOCK\")`", move || {
                pasted(&mut conn, &full);
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`acquire` and `release`", move || {
                LOCK.acquire(&mut conn).unwrap().release().unwrap();
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`Lock::with`", move || {
                LOCK.with(&mut conn, |_| Ok::<_, Error>(())).unwrap();
            })
        },
        {
            let mut conn = connect(url);
            Contender::new("`#[with_lock]`", move || attribute(&mut conn).unwrap())
        },
    ]
}

/// Returns the statements that acquire and release.
fn recorded(database: &str) -> (String, String) {
    let pair = |conn: &mut MysqlConnection| {
        LOCK.acquire(conn).unwrap().release().unwrap();
    };
    // So that the library knows the database.
    pair(&mut connect(&server::url_through(server::host(), database)));
    let proxy = Proxy::new();
    let mut conn = connect(&server::url_through(&proxy.host(), database));
    let sent = Sent::record(&proxy, || pair(&mut conn));
    let [acquire, release] = <[String; 2]>::try_from(sent.prepared).expect("two statements");
    (acquire, release)
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<BigInt>)]
    answer: Option<i64>,
}

fn pasted(conn: &mut MysqlConnection, name: &str) {
    let taken: Answer = diesel::sql_query("SELECT GET_LOCK(?, ?) AS answer")
        .bind::<Text, _>(name)
        .bind::<Integer, _>(10)
        .get_result(conn)
        .unwrap();
    assert_eq!(taken.answer, Some(1));
    let released: Answer = diesel::sql_query("SELECT RELEASE_LOCK(?) AS answer")
        .bind::<Text, _>(name)
        .get_result(conn)
        .unwrap();
    assert_eq!(released.answer, Some(1));
}

#[with_lock("bench")]
fn attribute(conn: &mut MysqlConnection) -> Result<(), Error> {
    Ok(())
}

/// A statement of which Diesel knows by its type that it is cached: the least it can do.
struct Replayed<const WHICH: u8> {
    sql: String,
    values: Vec<Value>,
}

impl<const WHICH: u8> QueryFragment<Mysql> for Replayed<WHICH> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let mut values = self.values.iter();
        let mut pieces = self.sql.split('?').peekable();
        while let Some(piece) = pieces.next() {
            out.push_sql(piece);
            if pieces.peek().is_none() {
                break;
            }
            match values.next().expect("a value for each parameter") {
                Value::Text(text) => out.push_bind_param::<Text, _>(text)?,
                Value::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
            }
        }
        Ok(())
    }
}

impl<const WHICH: u8> QueryId for Replayed<WHICH> {
    type QueryId = Replayed<WHICH>;
}
