//! What an attribute holds while the function's body runs.

use crate::lock::{HeldLock, HeldTransaction};
use crate::scope::Ending;
use crate::table_lock::HeldTables;
use crate::wire::Wire;
use crate::{Error, scope};

/// What is to be ended after the body.
#[derive(Debug)]
pub struct Held(pub(super) What);

#[derive(Debug)]
pub(super) enum What {
    Lock(HeldLock),
    Transaction(HeldTransaction),
    Tables(HeldTables),
}

impl scope::Held for Held {
    fn kind(&self) -> &'static str {
        match &self.0 {
            What::Lock(held) => held.kind(),
            What::Transaction(held) => held.kind(),
            What::Tables(held) => held.kind(),
        }
    }

    fn lock(&self) -> &str {
        match &self.0 {
            What::Lock(held) => held.lock(),
            What::Transaction(held) => held.lock(),
            What::Tables(held) => held.lock(),
        }
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        match &self.0 {
            What::Lock(held) => held.end(ending, conn).await,
            What::Transaction(held) => held.end(ending, conn).await,
            What::Tables(held) => held.end(ending, conn).await,
        }
    }
}
