//! The tables that a model locks.
#![allow(dead_code, reason = "the models are only types here")]

use std::fmt::Debug;
use std::marker::PhantomData;

use diesel_locks::{LockableTable, TableLock};

mod schema {
    diesel::table! { places (id) { id -> Integer, } }
    diesel::table! { restaurants (id) { id -> Integer, } }
    diesel::table! { bars (id) { id -> Integer, } }
    diesel::table! { blog_posts (id) { id -> Integer, } }
    diesel::table! {
        #[sql_name = "Table `1`"]
        first (id) { id -> Integer, }
    }
    diesel::table! { other_db.archive (id) { id -> Integer, } }
    diesel::table! { r#type (id) { id -> Integer, } }
    diesel::table! { r#as (id) { id -> Integer, } }
}

use self::schema::{r#as, bars, blog_posts, places, restaurants};

#[derive(LockableTable)]
struct Place;

#[derive(LockableTable)]
#[lockable(parents(Place))]
struct Restaurant;

/// Returns the tables that are locked with a model.
fn tables<Model: LockableTable>() -> String {
    let statement = TableLock::new().write::<Model>().to_string();
    statement.trim_start_matches("LOCK TABLES ").replace(" WRITE", "")
}

#[test]
fn the_table_is_the_one_that_diesels_derives_use() {
    #[derive(LockableTable, diesel::Identifiable)]
    struct BlogPost {
        id: i32,
    }

    #[derive(LockableTable, diesel::Identifiable)]
    #[diesel(table_name = schema::places, check_for_backend(diesel::mysql::Mysql))]
    #[diesel(primary_key(id))]
    struct Building {
        id: i32,
    }

    #[derive(LockableTable)]
    #[diesel(table_name = crate::macros::lockable_table::schema::r#type)]
    struct Kind;

    #[derive(LockableTable)]
    struct A;

    assert_eq!(tables::<BlogPost>(), "`blog_posts`");
    assert_eq!(tables::<Building>(), "`places`");
    assert_eq!(tables::<Kind>(), "`type`");
    assert_eq!(tables::<A>(), "`as`");
}

#[test]
fn the_table_has_its_name_in_the_database() {
    #[derive(LockableTable)]
    #[diesel(table_name = schema::first)]
    struct First;

    #[derive(LockableTable)]
    #[diesel(table_name = schema::archive)]
    #[lockable(parents(First))]
    struct Archived;

    assert_eq!(tables::<Archived>(), "`other_db`.`archive`, `Table ``1```");
}

#[test]
fn a_model_may_have_lifetimes_generics_and_bounds() {
    #[derive(LockableTable)]
    #[diesel(table_name = places)]
    struct Located<'a, T: Debug = u8, const N: usize = 1>
    where
        T: Clone,
    {
        name: &'a str,
        extra: [T; N],
    }

    #[derive(LockableTable)]
    #[diesel(table_name = restaurants)]
    #[lockable(parents(Located<'a, T, 2>))]
    struct Served<'a, T: Debug + Clone>(PhantomData<&'a T>);

    assert_eq!(tables::<Located<'_, String, 3>>(), "`places`");
    assert_eq!(tables::<Served<'_, u8>>(), "`restaurants`, `places`");
}

#[test]
fn parents_of_parents_are_locked_too() {
    #[derive(LockableTable)]
    #[lockable(parents(Restaurant))]
    struct Bar;

    assert_eq!(tables::<Bar>(), "`bars`, `restaurants`, `places`");
    let lock = TableLock::new().read::<Bar>();
    let expected = "LOCK TABLES `bars` READ, `restaurants` READ, `places` READ";
    assert_eq!(lock.to_string(), expected);
}

#[test]
fn a_table_may_be_a_parent() {
    #[derive(LockableTable)]
    #[lockable(parents(schema::places::table))]
    struct Bar;

    assert_eq!(tables::<Bar>(), "`bars`, `places`");
}

#[test]
fn a_parent_reached_twice_is_locked_once() {
    type Renamed = Place;

    #[derive(LockableTable)]
    #[lockable(parents(Restaurant, Place, Renamed, places::table))]
    struct Bar;

    assert_eq!(tables::<Bar>(), "`bars`, `restaurants`, `places`");
}

#[test]
fn a_diamond_locks_each_table_once() {
    #[derive(LockableTable)]
    #[diesel(table_name = blog_posts)]
    #[lockable(parents(Place))]
    struct Reviewed;

    #[derive(LockableTable)]
    #[lockable(parents(Restaurant, Reviewed))]
    struct Bar;

    assert_eq!(tables::<Bar>(), "`bars`, `restaurants`, `places`, `blog_posts`");
}

#[test]
fn a_cycle_among_parents_ends() {
    #[derive(LockableTable)]
    #[diesel(table_name = bars)]
    #[lockable(parents(Egg))]
    struct Hen;

    #[derive(LockableTable)]
    #[diesel(table_name = places)]
    #[lockable(parents(Hen))]
    struct Egg;

    assert_eq!(tables::<Hen>(), "`bars`, `places`");
    assert_eq!(tables::<Egg>(), "`places`, `bars`");
}

#[test]
fn two_models_of_one_table_lock_it_once_and_the_parents_of_both() {
    #[derive(LockableTable)]
    #[diesel(table_name = bars)]
    #[lockable(parents(Place))]
    struct Drinks;

    #[derive(LockableTable)]
    #[diesel(table_name = bars)]
    #[lockable(parents(Drinks, schema::archive::table))]
    struct Snacks;

    assert_eq!(tables::<Snacks>(), "`bars`, `places`, `other_db`.`archive`");
    let lock = TableLock::new().read::<Drinks>().write::<Snacks>();
    let expected = "LOCK TABLES `bars` WRITE, `places` WRITE, `other_db`.`archive` WRITE";
    assert_eq!(lock.to_string(), expected);
}

#[test]
fn the_library_may_have_another_name() {
    mod reexport {
        pub(super) use diesel_locks as locks;
    }

    #[derive(LockableTable)]
    #[lockable(crate = reexport::locks, parents(Place))]
    struct Bar;

    assert_eq!(tables::<Bar>(), "`bars`, `places`");
}

#[test]
fn a_model_may_be_generated_by_a_macro() {
    macro_rules! model {
        ($name:ident, $table:ident, $($parent:ty),*) => {
            #[derive(LockableTable)]
            #[diesel(table_name = $table)]
            #[lockable(parents($($parent),*))]
            struct $name;
        };
    }
    model!(Bar, bars, Restaurant);

    assert_eq!(tables::<Bar>(), "`bars`, `restaurants`, `places`");
}
