//! Models and tables that can be locked by their type.

mod table_name;
mod tables;

use diesel::associations::HasTable;
use diesel::mysql::{Mysql, MysqlQueryBuilder};
use diesel::query_builder::{QueryBuilder, QueryFragment};
use diesel::result::QueryResult;
use diesel::{QuerySource, Table};

pub use self::table_name::TableName;
pub(crate) use self::tables::{Level, Tables};

/// A Diesel model, or a table, that a [`TableLock`](crate::TableLock) can lock by its type.
///
/// Every table that Diesel knows is lockable: `write::<schema::audit_log::table>()`. For models it
/// is derived, see [the derive macro](derive@crate::LockableTable).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be locked: it is neither a Diesel table nor a model that derives `LockableTable`",
    label = "not lockable",
    note = "derive it: `#[derive(diesel_locks::LockableTable)]`, with Diesel's `#[diesel(table_name = …)]`"
)]
pub trait LockableTable {
    /// The table that holds this model's rows.
    type Table: Table
        + HasTable<Table = Self::Table>
        + QuerySource<FromClause: QueryFragment<Mysql>>;

    /// Names the models that this one inherits from: [`Parents::add`] for each. None, by default.
    ///
    /// Their tables are locked with this one's.
    fn parents(parents: &mut Parents<'_>) {
        let _ = parents;
    }
}

// Without this, the message for a model that lacks the derive would say that it is no Diesel table.
#[diagnostic::do_not_recommend]
impl<T> LockableTable for T
where
    T: Table + HasTable<Table = T> + QuerySource<FromClause: QueryFragment<Mysql>>,
{
    type Table = T;
}

/// Collects the models that a model inherits from.
#[derive(Debug)]
pub struct Parents<'t> {
    tables: &'t mut Tables,
    level: Level,
    /// The models that were added already: a cycle ends, and a model that is reached twice is added
    /// once. Two models of one table may have other parents; functions that were merged have the
    /// same.
    visited: &'t mut Vec<(TableName, usize)>,
}

impl<'t> Parents<'t> {
    fn of(tables: &'t mut Tables, level: Level, visited: &'t mut Vec<(TableName, usize)>) -> Self {
        Self { tables, level, visited }
    }

    /// Adds a model, and the models that it inherits from.
    pub fn add<Model: LockableTable>(&mut self) {
        let Some(name) = self.tables.name_of::<Model>() else { return };
        let parents: fn(&mut Parents<'_>) = Model::parents;
        let visit = (name.clone(), parents as usize);
        if self.visited.contains(&visit) {
            return;
        }
        self.visited.push(visit);
        self.tables.add(name, None, self.level);
        parents(&mut Parents::of(self.tables, self.level, self.visited));
    }
}

/// Returns the table's name, read from Diesel's own way to write it: `sql_name` and the schema come
/// out right.
fn table_name<T>() -> QueryResult<Option<TableName>>
where
    T: HasTable<Table = T> + QuerySource<FromClause: QueryFragment<Mysql>>,
{
    let mut sql = MysqlQueryBuilder::new();
    T::table().from_clause().to_sql(&mut sql, &Mysql)?;
    Ok(TableName::from_sql(&sql.finish()))
}
