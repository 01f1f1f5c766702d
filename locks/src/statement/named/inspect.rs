//! `IS_USED_LOCK`.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Unsigned};

use super::{AnyName, Bound, LockFunction, no_timeout, push_checked, push_name};
use crate::name::FullName;
#[cfg(feature = "async")]
use crate::statement::push_client_number;
use crate::statement::{Text, Texts};

static HOLDER: Texts = Texts::new();
static OWN: Texts = Texts::new();
static TEXTS: Texts = Texts::new();

/// What [`UsedLock`] returns if the connection's database is not the one that was guessed.
pub(crate) const OTHER_DATABASE: i64 = -1;

/// `IS_USED_LOCK`: which connection holds the lock, or whether this one does.
#[derive(Debug)]
pub(crate) struct UsedLock<'n, const IS_OWN: bool> {
    name: &'n FullName,
    text: Text,
}

impl<'n> UsedLock<'n, false> {
    /// The holder's ID, NULL, or [`OTHER_DATABASE`].
    pub(crate) fn holder(name: &'n FullName) -> Self {
        Self { name, text: HOLDER.current() }
    }
}

impl<'n> UsedLock<'n, true> {
    /// 1 if this connection holds the lock.
    pub(crate) fn is_own(name: &'n FullName) -> Self {
        Self { name, text: OWN.current() }
    }
}

impl<const IS_OWN: bool> LockFunction for UsedLock<'_, IS_OWN> {
    type Any = UsedLock<'static, IS_OWN>;

    fn name(&self) -> &FullName {
        self.name
    }

    fn text(&self) -> Text {
        self.text
    }

    fn walk_call<'b>(&'b self, bound: Bound, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("IS_USED_LOCK(");
            push_name(out.reborrow(), self.name, bound)?;
            out.push_sql(if IS_OWN { ") = CONNECTION_ID()" } else { ")" });
            Ok(())
        };
        let other = OTHER_DATABASE.to_string();
        push_checked(out, self.name, bound, call, if IS_OWN { "0" } else { &other })
    }
}

/// `IS_USED_LOCK`, with the connection's database and ID.
#[derive(Debug)]
pub(crate) struct Inspect<'n> {
    name: &'n FullName,
    text: Text,
}

impl<'n> Inspect<'n> {
    pub(crate) fn new(name: &'n FullName) -> Self {
        Self { name, text: TEXTS.current() }
    }

    /// Both servers run a prepared statement in the database in which it was prepared.
    pub(crate) fn uncached(name: &'n FullName) -> Self {
        Self { name, text: TEXTS.uncached() }
    }
}

/// The default database, the connection that holds the lock, this connection.
pub(crate) type InspectRow = (Option<Vec<u8>>, Option<u64>, u64);

impl Inspect<'_> {
    pub(crate) fn name(&self) -> &FullName {
        self.name
    }

    pub(crate) fn text(&self) -> Text {
        self.text
    }

    fn walk<'b>(
        &'b self,
        bound: Bound,
        mut out: AstPass<'_, 'b, Mysql>,
        push_first: impl FnOnce(AstPass<'_, 'b, Mysql>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        out.push_sql(concat!("SELECT /*+ MAX_EXECUTION_TIME(", no_timeout!(), ") */ "));
        push_first(out.reborrow())?;
        out.push_sql("CAST(DATABASE() AS BINARY), CAST(");
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("IS_USED_LOCK(");
            push_name(out.reborrow(), self.name, bound)?;
            out.push_sql(")");
            Ok(())
        };
        push_checked(out.reborrow(), self.name, bound, call, "NULL")?;
        out.push_sql(" AS UNSIGNED), CONNECTION_ID() LIMIT 1");
        self.text.push_end(&mut out);
        Ok(())
    }
}

type InspectTypes = (Nullable<Binary>, Nullable<Unsigned<BigInt>>, Unsigned<BigInt>);

#[cfg(feature = "mysql")]
impl QueryFragment<Mysql> for Inspect<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.walk(Bound::Bytes, out, |_| Ok(()))
    }
}

#[cfg(feature = "mysql")]
impl Query for Inspect<'_> {
    type SqlType = InspectTypes;
}

#[cfg(feature = "mysql")]
impl AnyName for &Inspect<'_> {
    type Any = Inspect<'static>;
}

/// The same, behind the client's own number.
#[cfg(feature = "async")]
#[derive(Debug)]
pub(crate) struct NumberedInspect<'s> {
    pub(crate) inspect: &'s Inspect<'s>,
    pub(crate) number: u64,
}

#[cfg(feature = "async")]
impl QueryFragment<Mysql> for NumberedInspect<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.inspect.walk(Bound::Digits, out, |mut out| {
            push_client_number(out.reborrow(), &self.number)?;
            out.push_sql(", ");
            Ok(())
        })
    }
}

#[cfg(feature = "async")]
impl Query for NumberedInspect<'_> {
    type SqlType = (Unsigned<BigInt>, InspectTypes);
}

#[cfg(feature = "async")]
impl AnyName for NumberedInspect<'_> {
    type Any = NumberedInspect<'static>;
}
