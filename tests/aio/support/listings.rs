//! Where MariaDB lists locks.

use std::sync::Mutex;

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection as _;

use tokio::sync::OnceCell;

use super::{Admin, is_mysql, number};

/// The plugin that lists locks, if the server has it.
///
/// It belongs to the whole server, and MariaDB crashes if it is unloaded while it is read. So it
/// stays loaded, and no other process tests without it until this one has ended.
pub(crate) struct Listings {
    /// Whether held locks are listed.
    pub(crate) any: bool,
    _alone: Mutex<Admin>,
}

impl Listings {
    pub(crate) async fn load() -> &'static Self {
        static LISTINGS: OnceCell<Listings> = OnceCell::const_new();
        LISTINGS.get_or_init(Self::load_once).await
    }

    async fn load_once() -> Self {
        let mut admin = Admin::connect().await;
        let lock = number("GET_LOCK('diesel-locks-tests.listings', 600)", &mut admin.conn).await;
        assert_eq!(lock, Ok(1));
        if is_mysql().await {
            return Self { any: true, _alone: Mutex::new(admin) };
        }
        // Loaded already, or not to be had.
        let _: QueryResult<()> =
            admin.conn.batch_execute("INSTALL SONAME 'metadata_lock_info'").await;
        let loaded = "EXISTS (SELECT 1 FROM information_schema.PLUGINS \
             WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE')";
        let any = number(loaded, &mut admin.conn).await == Ok(1);
        Self { any, _alone: Mutex::new(admin) }
    }
}
