//! The connection of an attribute: whatever it is, and wherever it is.

use std::cell::{RefCell, RefMut};
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard};

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_locks::{Error, Lock, LockConnection, with_lock};

use crate::support::schema::Database;
use crate::support::server::{connection_id, count_and_release_locks};

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;
type Alias<'c> = &'c mut MysqlConnection;

/// A wrapper that does not dereference to its connection.
struct Wrapper(MysqlConnection);

impl LockConnection for Wrapper {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        Some(&mut self.0)
    }
}

/// A wrapper that does, and that is not a `LockConnection`.
struct Pointer(MysqlConnection);

impl Deref for Pointer {
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        &self.0
    }
}

impl DerefMut for Pointer {
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        &mut self.0
    }
}

enum Any {
    Mysql(MysqlConnection),
    Other,
}

impl LockConnection for Any {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        match self {
            Self::Mysql(conn) => Some(conn),
            Self::Other => None,
        }
    }
}

fn holds(conn: &mut MysqlConnection) -> QueryResult<bool> {
    let id = connection_id(conn);
    Ok(Lock::new("lock").holding_connection_id(conn)? == Some(id))
}

#[test]
fn an_argument_may_have_any_type_that_has_a_connection() {
    #[with_lock("lock")]
    fn owned(mut conn: MysqlConnection) -> QueryResult<bool> {
        holds(&mut conn)
    }

    #[with_lock("lock")]
    fn pooled(mut conn: Pooled) -> QueryResult<bool> {
        holds(&mut conn)
    }

    #[with_lock("lock")]
    fn borrowed_pooled(conn: &mut Pooled) -> QueryResult<bool> {
        // The body has the type that the caller passed.
        fn takes_pooled(conn: &mut Pooled) -> QueryResult<bool> {
            holds(conn)
        }
        takes_pooled(conn)
    }

    #[with_lock("lock")]
    fn boxed(mut conn: Box<MysqlConnection>) -> QueryResult<bool> {
        holds(&mut conn)
    }

    #[with_lock("lock")]
    fn wrapper(mut conn: Wrapper) -> QueryResult<bool> {
        holds(&mut conn.0)
    }

    #[with_lock("lock")]
    fn borrowed_wrapper(conn: &mut Wrapper) -> QueryResult<bool> {
        holds(&mut conn.0)
    }

    #[with_lock("lock")]
    fn pointer(conn: &mut Pointer) -> QueryResult<bool> {
        holds(conn)
    }

    #[with_lock("lock")]
    fn alias(conn: Alias<'_>) -> QueryResult<bool> {
        holds(conn)
    }

    #[with_lock("lock")]
    fn generic<C: LockConnection>(conn: &mut C) -> Result<bool, Error> {
        Ok(holds(conn.mysql_connection().ok_or(Error::NoTables)?)?)
    }

    #[with_lock("lock")]
    fn generic_by_its_bound<C>(_id: i32, db: &mut C) -> Result<bool, Error>
    where
        C: LockConnection + ?Sized,
    {
        generic(&mut &mut *db)
    }

    #[with_lock("lock")]
    fn dereferenced<C: DerefMut<Target = MysqlConnection>>(conn: &mut C) -> QueryResult<bool> {
        holds(conn)
    }

    #[with_lock("lock")]
    fn hidden(db: &mut impl LockConnection) -> Result<bool, Error> {
        generic(db)
    }

    #[with_lock("lock")]
    fn dynamic(db: &mut dyn LockConnection) -> Result<bool, Error> {
        Ok(holds(db.mysql_connection().ok_or(Error::NoTables)?)?)
    }

    #[with_lock("lock")]
    fn guard(mut conn: MutexGuard<'_, MysqlConnection>) -> QueryResult<bool> {
        holds(&mut conn)
    }

    #[with_lock("lock")]
    fn cell(mut conn: RefMut<'_, MysqlConnection>) -> QueryResult<bool> {
        holds(&mut conn)
    }

    let db = Database::new();
    let pool = db.pool(2);
    assert!(owned(db.connect()).unwrap());
    assert!(pooled(pool.get().unwrap()).unwrap());
    assert!(borrowed_pooled(&mut pool.get().unwrap()).unwrap());
    assert!(boxed(Box::new(db.connect())).unwrap());
    assert!(wrapper(Wrapper(db.connect())).unwrap());
    assert!(borrowed_wrapper(&mut Wrapper(db.connect())).unwrap());
    assert!(pointer(&mut Pointer(db.connect())).unwrap());
    assert!(alias(&mut db.connect()).unwrap());
    assert!(generic(&mut db.connect()).unwrap());
    assert!(generic(&mut pool.get().unwrap()).unwrap());
    assert!(generic_by_its_bound(1, &mut db.connect()).unwrap());
    assert!(dereferenced(&mut Box::new(db.connect())).unwrap());
    assert!(hidden(&mut Wrapper(db.connect())).unwrap());
    assert!(dynamic(&mut Any::Mysql(db.connect())).unwrap());
    let (mutex, refs) = (Mutex::new(db.connect()), RefCell::new(db.connect()));
    assert!(guard(mutex.lock().unwrap()).unwrap());
    assert!(cell(refs.borrow_mut()).unwrap());
    assert_eq!(count_and_release_locks(&mut mutex.lock().unwrap()), 0);
}

#[test]
fn a_connection_of_another_kind_is_an_error() {
    #[with_lock("lock", conn = db)]
    fn any(db: &mut Any) -> Result<(), Error> {
        unreachable!("{}", db.mysql_connection().is_some())
    }

    assert!(matches!(any(&mut Any::Other), Err(Error::Unsupported { .. })));
}

#[test]
fn a_place_may_be_a_path_of_fields_and_indices() {
    struct Shard {
        conn: Pooled,
    }

    struct Shards {
        all: Vec<Shard>,
        current: usize,
        pair: (Wrapper, Box<MysqlConnection>),
    }

    impl LockConnection for Shards {
        fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
            self.pair.0.mysql_connection()
        }
    }

    impl Shards {
        const FIRST: u8 = 0;

        #[with_lock("lock", conn = self.all[0].conn)]
        fn literal_index(&mut self) -> QueryResult<bool> {
            holds(&mut self.all[0].conn)
        }

        #[with_lock("lock", conn = self.all[self.current].conn)]
        fn index(&mut self) -> QueryResult<bool> {
            holds(&mut self.all[self.current].conn)
        }

        #[with_lock("lock", conn = self.all[Self::FIRST as usize].conn)]
        fn constant(&mut self) -> QueryResult<bool> {
            holds(&mut self.all[0].conn)
        }

        #[with_lock("lock", conn = &mut (self.pair).1)]
        fn tuple(&mut self) -> QueryResult<bool> {
            holds(&mut self.pair.1)
        }

        #[with_lock("lock", conn = *self.pair.1)]
        fn dereferenced(&mut self) -> QueryResult<bool> {
            holds(&mut self.pair.1)
        }

        #[with_lock("lock", conn = self)]
        fn itself(&mut self) -> QueryResult<bool> {
            holds(&mut self.pair.0.0)
        }
    }

    let db = Database::new();
    let pool = db.pool(1);
    let mut shards = Shards {
        all: vec![Shard { conn: pool.get().unwrap() }],
        current: 0,
        pair: (Wrapper(db.connect()), Box::new(db.connect())),
    };
    assert!(shards.literal_index().unwrap());
    assert!(shards.index().unwrap());
    assert!(shards.constant().unwrap());
    assert!(shards.tuple().unwrap());
    assert!(shards.dereferenced().unwrap());
    assert!(shards.itself().unwrap());
    assert_eq!(count_and_release_locks(&mut shards.all[0].conn), 0);
}
