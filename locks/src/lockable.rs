//! test
use diesel::associations::HasTable;
use diesel::mysql::Mysql;
use diesel::query_builder::QueryFragment;
use diesel::{QuerySource, Table};
use std::marker::PhantomData;
/// x
#[derive(Debug)]
pub struct Parents<'a>(PhantomData<&'a ()>);
/// y
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked: it is neither a Diesel table nor a model with `#[derive(LockableTable)]`",
    label = "not a lockable table",
    note = "derive it: `#[derive(diesel_locks::LockableTable)]` beside `#[diesel(table_name = …)]`"
)]
pub trait LockableTable {
    /// t
    type Table: Table + HasTable<Table = Self::Table> + QuerySource<FromClause: QueryFragment<Mysql>>;
    /// p
    fn parents(_parents: &mut Parents<'_>) {}
}
#[diagnostic::do_not_recommend]
impl<T> LockableTable for T
where
    T: Table + HasTable<Table = T> + QuerySource<FromClause: QueryFragment<Mysql>>,
{
    type Table = T;
}
/// z
pub fn read<T: LockableTable>() {}
