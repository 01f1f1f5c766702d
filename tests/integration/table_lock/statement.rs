//! The statement that a table lock sends: its tables, with their levels and aliases.

use diesel_locks::{LockableTable, Parents, TableLock, TableName};

use crate::support::schema::{audit_log, places};
use crate::support::table_checks::{Customer, Place, Restaurant};

mod schema {
    diesel::table! {
        #[sql_name = "odd `name`.with; everything"]
        plain (id) { id -> Integer, }
    }
    diesel::table! {
        other_db.elsewhere (id) { id -> Integer, }
    }
    diesel::table! {
        #[sql_name = "type"]
        r#type (id) { id -> Integer, }
    }
}

#[test]
fn tables_are_listed_with_their_levels_in_the_order_they_were_added() {
    let lock = TableLock::new()
        .read::<Customer>()
        .write::<Place>()
        .write::<audit_log::table>()
        .read_table("legacy_log");
    assert_eq!(
        lock.to_string(),
        "LOCK TABLES `customers` READ, `places` WRITE, `audit_log` WRITE, `legacy_log` READ"
    );
}

#[test]
fn a_table_added_at_both_levels_is_locked_for_writing() {
    let written = "LOCK TABLES `places` WRITE";
    assert_eq!(TableLock::new().read::<Place>().write::<Place>().to_string(), written);
    assert_eq!(TableLock::new().write::<Place>().read::<Place>().to_string(), written);
    let by_name = TableLock::new().read::<places::table>().write_table("places");
    assert_eq!(by_name.to_string(), written);
}

#[test]
fn a_table_is_locked_once_however_often_it_is_added() {
    let lock = TableLock::new().read::<Place>().read::<places::table>().read_table("places");
    assert_eq!(lock.to_string(), "LOCK TABLES `places` READ");
    let aliased = TableLock::new().read_as::<Place>("p").read_as::<places::table>("p");
    assert_eq!(aliased.to_string(), "LOCK TABLES `places` AS `p` READ");
}

#[test]
fn an_alias_is_locked_in_addition_to_the_table() {
    let lock = TableLock::new().write::<Place>().read_as::<Place>("a").read_as::<Place>("b`");
    assert_eq!(
        lock.to_string(),
        "LOCK TABLES `places` WRITE, `places` AS `a` READ, `places` AS `b``` READ"
    );
}

#[test]
fn a_model_is_locked_with_its_parents_at_the_same_level() {
    assert_eq!(
        TableLock::new().write::<Restaurant>().to_string(),
        "LOCK TABLES `restaurants` WRITE, `places` WRITE"
    );
    assert_eq!(
        TableLock::new().read::<Restaurant>().to_string(),
        "LOCK TABLES `restaurants` READ, `places` READ"
    );
}

#[test]
fn a_parent_keeps_the_higher_of_its_levels() {
    let written = "LOCK TABLES `places` WRITE, `restaurants` READ";
    let lock = TableLock::new().write::<Place>().read::<Restaurant>();
    assert_eq!(lock.to_string(), written);
    let lock = TableLock::new().read::<Place>().write::<Restaurant>();
    assert_eq!(lock.to_string(), "LOCK TABLES `places` WRITE, `restaurants` WRITE");
    let lock = TableLock::new().read::<Restaurant>().write::<Restaurant>();
    assert_eq!(lock.to_string(), "LOCK TABLES `restaurants` WRITE, `places` WRITE");
}

#[test]
fn an_alias_of_a_model_is_locked_without_its_parents() {
    let lock = TableLock::new().read_as::<Restaurant>("r");
    assert_eq!(lock.to_string(), "LOCK TABLES `restaurants` AS `r` READ");
}

#[test]
fn parents_of_parents_are_locked_once_each() {
    struct Left;
    impl LockableTable for Left {
        type Table = audit_log::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Restaurant>();
        }
    }
    struct Both;
    impl LockableTable for Both {
        type Table = schema::plain::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Left>();
            parents.add::<Restaurant>();
            parents.add::<Place>();
            parents.add::<Customer>();
        }
    }
    assert_eq!(
        TableLock::new().write::<Both>().to_string(),
        "LOCK TABLES `odd ``name``.with; everything` WRITE, `audit_log` WRITE, \
         `restaurants` WRITE, `places` WRITE, `customers` WRITE"
    );
}

#[test]
fn two_models_of_one_table_may_have_different_parents() {
    struct Eatery;
    impl LockableTable for Eatery {
        type Table = places::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Customer>();
        }
    }
    struct Child;
    impl LockableTable for Child {
        type Table = audit_log::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Place>();
            parents.add::<Eatery>();
        }
    }
    assert_eq!(
        TableLock::new().read::<Child>().to_string(),
        "LOCK TABLES `audit_log` READ, `places` READ, `customers` READ"
    );
}

#[test]
fn a_cycle_among_parents_ends() {
    struct Chicken;
    impl LockableTable for Chicken {
        type Table = places::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Egg>();
            parents.add::<Self>();
        }
    }
    struct Egg;
    impl LockableTable for Egg {
        type Table = audit_log::table;
        fn parents(parents: &mut Parents<'_>) {
            parents.add::<Chicken>();
        }
    }
    let from_either_end = [
        TableLock::new().write::<Chicken>().to_string(),
        TableLock::new().write::<Egg>().to_string(),
    ];
    assert_eq!(from_either_end[0], "LOCK TABLES `places` WRITE, `audit_log` WRITE");
    assert_eq!(from_either_end[1], "LOCK TABLES `audit_log` WRITE, `places` WRITE");
}

#[test]
fn a_table_has_the_name_that_diesel_uses_in_sql() {
    let lock = TableLock::new()
        .read::<schema::plain::table>()
        .read::<schema::elsewhere::table>()
        .write::<schema::r#type::table>();
    assert_eq!(
        lock.to_string(),
        "LOCK TABLES `odd ``name``.with; everything` READ, `other_db`.`elsewhere` READ, \
         `type` WRITE"
    );
}

#[test]
fn a_raw_name_is_quoted_unchanged() {
    let names = ["a.b", "a b", "`", "x`; DROP TABLE y; -- ", "'\"\\%?", "größe", "表"];
    for name in names {
        let quoted = format!("`{}`", name.replace('`', "``"));
        let lock = TableLock::new().write_table(name);
        assert_eq!(lock.to_string(), format!("LOCK TABLES {quoted} WRITE"));
        let lock = TableLock::new().read_table((name, name.to_owned()));
        assert_eq!(lock.to_string(), format!("LOCK TABLES {quoted}.{quoted} READ"));
        let lock = TableLock::new().read_as::<Place>(name);
        assert_eq!(lock.to_string(), format!("LOCK TABLES `places` AS {quoted} READ"));
    }
}

#[test]
fn a_name_in_another_database_is_another_table() {
    let lock = TableLock::new().write_table("t").read_table(("other", "t")).read_table("other.t");
    assert_eq!(lock.to_string(), "LOCK TABLES `t` WRITE, `other`.`t` READ, `other.t` READ");
}

#[test]
fn a_name_may_be_anything_that_converts_into_one() {
    let name: TableName = ("db", "t").into();
    let text = String::from("t");
    let lock = TableLock::new().read_table(name).read_table(text).write_table("t");
    assert_eq!(lock.to_string(), "LOCK TABLES `db`.`t` READ, `t` WRITE");
}

#[test]
fn a_lock_is_a_value_that_can_be_kept_and_compared() {
    fn assert_owned<T: Send + Sync + Clone + 'static>(_: &T) {}
    let lock = TableLock::new().write::<Place>().read_table(String::from("t"));
    assert_owned(&lock);
    assert_eq!(lock, lock.clone());
    assert_ne!(lock.clone(), lock.read::<Customer>());
}
