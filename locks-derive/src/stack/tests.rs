//! The expansions of the attributes.
#![allow(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use expect_test::{Expect, expect};
use proc_macro2::{Delimiter, Group, TokenStream};
use quote::quote;

use super::{Kind, expand};
use crate::testing::assert_expansion;

fn check_lock(args: TokenStream, function: TokenStream, expected: &Expect) {
    assert_expansion(expand(Kind::Lock, args, function), expected);
}

fn check_tables(args: TokenStream, function: TokenStream, expected: &Expect) {
    assert_expansion(expand(Kind::TableLock, args, function), expected);
}

#[test]
fn a_plain_name_is_not_formatted() {
    check_lock(
        quote!("nightly-{{report}}"),
        quote! {
            /// Documented.
            pub fn nightly(conn: &mut MysqlConnection) -> Result<Report, AppError> { build(conn) }
        },
        &expect![[r#"
            /// Documented.
            pub fn nightly(conn: &mut MysqlConnection) -> Result<Report, AppError> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("nightly-{report}"),
                    conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<
                    Result<Report, AppError>,
                >(
                    held,
                    || {
                        let conn = &mut *conn;
                        let _ = &conn;
                        ({ build(conn) })
                    },
                );
                ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn a_name_is_formatted_once() {
    check_lock(
        quote!("{}-{id}-{last}", order.id, last = f(x), timeout = 2.5, transaction, server_wide),
        quote! {
            fn pay(mut conn: &mut MysqlConnection, id: i32) -> QueryResult<()> { Ok(()) }
        },
        &expect![[r#"
            fn pay(conn: &mut MysqlConnection, id: i32) -> QueryResult<()> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::acquire_and_begin(
                    &::diesel_locks::__private::Lock::new(
                            &::std::format!("{}-{id}-{last}", order.id, last = f(x)),
                        )
                        .timeout(::diesel_locks::__private::timeout(2.5))
                        .server_wide(),
                    conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        let mut conn = &mut *conn;
                        let _ = &conn;
                        ({ Ok(()) })
                    },
                );
                ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn a_place_is_borrowed_anew_after_the_body() {
    check_lock(
        quote!("a", conn = self.conn),
        quote!(
            fn pay(&mut self) -> QueryResult<()> {
                Ok(())
            }
        ),
        &expect![[r#"
            fn pay(&mut self) -> QueryResult<()> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("a"),
                    self.conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(ran, self.conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn a_call_is_refused_as_a_connection() {
    check_lock(
        quote!("a", conn = pool.get()?),
        quote!(
            fn pay(pool: &Pool) -> Result<impl Iterator<Item = impl Sized>, Error> {
                Ok(())
            }
        ),
        &expect![[r#"
            ::core::compile_error! {
                "the body could not use that connection: take it as an argument\nhelp: the correct format looks like `fn pay(conn: &mut MysqlConnection, …)`"
            }
            fn pay(pool: &Pool) -> Result<impl Iterator<Item = impl Sized>, Error> {
                let _ = &pool;
                Ok(())
            }
        "#]],
    );
}

#[test]
fn an_owned_connection_is_not_lent() {
    check_lock(
        quote!("a"),
        quote!(
            fn pay(mut conn: Pooled) -> QueryResult<()> {
                Ok(())
            }
        ),
        &expect![[r#"
            fn pay(mut conn: Pooled) -> QueryResult<()> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("a"),
                    conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn a_lock_that_is_not_waited_for_has_a_value_if_it_is_busy() {
    check_lock(
        quote!("a", if_busy = Ok(None), in_database = &tenant.name, shortened),
        quote!(
            fn pay(_conn: &mut DbConnection, tenant: &Tenant) -> QueryResult<Option<u8>> {
                Ok(None)
            }
        ),
        &expect![[r#"
            fn pay(_conn @ _: &mut DbConnection, tenant: &Tenant) -> QueryResult<Option<u8>> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::try_acquire(
                    &::diesel_locks::__private::Lock::new("a").in_database(&tenant.name).shortened(),
                    _conn.__diesel_locks_connection(),
                );
                match ::core::result::Result::transpose(held) {
                    ::core::option::Option::None => Ok(None),
                    ::core::option::Option::Some(held) => {
                        let ran = ::diesel_locks::__private::run::<
                            QueryResult<Option<u8>>,
                        >(
                            held,
                            || {
                                let _conn @ _ = &mut *_conn;
                                let _ = &_conn;
                                ({ Ok(None) })
                            },
                        );
                        ::diesel_locks::__private::finish(ran, _conn.__diesel_locks_connection())
                    }
                }
            }
        "#]],
    );
}

#[test]
fn parts_of_other_macros_are_unwrapped() {
    let invisible = |tokens| Group::new(Delimiter::None, tokens);
    let conn = invisible(quote!((*self.conn)));
    let body = invisible(quote!({ Ok(()) }));
    let function = invisible(quote!(fn pay(&mut self) -> QueryResult<()> #body));
    check_lock(
        quote!("a", conn = #conn, without_timeout),
        quote!(#function),
        &expect![[r#"
        fn pay(&mut self) -> QueryResult<()> {
            use ::diesel_locks::__private::Place as _;
            let held = ::diesel_locks::__private::acquire(
                &::diesel_locks::__private::Lock::new("a").without_timeout(),
                (*self.conn).__diesel_locks_connection(),
            );
            let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
            ::diesel_locks::__private::finish(ran, (*self.conn).__diesel_locks_connection())
        }
    "#]],
    );
}

#[test]
fn tables_may_have_aliases() {
    check_tables(
        quote!(read(Place as "p", "log" as "l"), write(("other", "log") as "o")),
        quote!(
            fn pay(conn: C) -> QueryResult<()> {
                Ok(())
            }
        ),
        &expect![[r#"
            fn pay(conn: C) -> QueryResult<()> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::lock_tables(
                    &::diesel_locks::__private::TableLock::new()
                        .read_as::<Place>("p")
                        .read_table_as("log", "l")
                        .write_table_as(("other", "log"), "o"),
                    conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn a_mention_expands_to_nothing() {
    let item = quote! { const _: () = (); };
    assert!(expand(Kind::Lock, super::mention(), item).is_empty());
}

#[test]
fn tables_may_be_models_and_names() {
    check_tables(
        quote!(
            write(Restaurant<'_>, "log"),
            read(audit_log::table, ("other", "log")),
            timeout = LIMIT,
            crate = my_crate::locks,
        ),
        quote! {
            fn repair(conn: &mut MysqlConnection) -> QueryResult<()> { Ok(()) }
        },
        &expect![[r#"
            fn repair(conn: &mut MysqlConnection) -> QueryResult<()> {
                use my_crate::locks::__private::Place as _;
                let held = my_crate::locks::__private::lock_tables(
                    &my_crate::locks::__private::TableLock::new()
                        .read::<audit_log::table>()
                        .read_table(("other", "log"))
                        .write::<Restaurant<'_>>()
                        .write_table("log")
                        .timeout(my_crate::locks::__private::timeout(LIMIT)),
                    conn.__diesel_locks_connection(),
                );
                let ran = my_crate::locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        let conn = &mut *conn;
                        let _ = &conn;
                        ({ Ok(()) })
                    },
                );
                my_crate::locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "#]],
    );
}

#[test]
fn the_outer_lock_is_taken_first() {
    check_lock(
        quote!("outer"),
        quote! {
            #[instrument]
            #[diesel_locks::with_table_lock(read(Customer))]
            #[with_lock("inner", conn = other)]
            fn pay(mut conn: &mut C, other: &mut C) -> QueryResult<()> { Ok(()) }
        },
        &expect![[r##"
            #[instrument]
            fn pay(conn: &mut C, other: &mut C) -> QueryResult<()> {
                use ::diesel_locks::__private::Place as _;
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("outer"),
                    conn.__diesel_locks_connection(),
                );
                let ran = ::diesel_locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        let conn = &mut *conn;
                        let _ = &conn;
                        ({
                            #[diesel_locks::with_table_lock(@mention)]
                            const _: () = ();
                            use ::diesel_locks::__private::Place as _;
                            let held = ::diesel_locks::__private::lock_tables(
                                &::diesel_locks::__private::TableLock::new().read::<Customer>(),
                                conn.__diesel_locks_connection(),
                            );
                            let ran = ::diesel_locks::__private::run::<
                                QueryResult<()>,
                            >(
                                held,
                                || {
                                    let mut conn = &mut *conn;
                                    let _ = &conn;
                                    ({
                                        #[with_lock(@mention)]
                                        const _: () = ();
                                        use ::diesel_locks::__private::Place as _;
                                        let held = ::diesel_locks::__private::acquire(
                                            &::diesel_locks::__private::Lock::new("inner"),
                                            other.__diesel_locks_connection(),
                                        );
                                        let ran = ::diesel_locks::__private::run::<
                                            QueryResult<()>,
                                        >(
                                            held,
                                            || {
                                                let other = &mut *other;
                                                let _ = &other;
                                                ({ Ok(()) })
                                            },
                                        );
                                        ::diesel_locks::__private::finish(
                                            ran,
                                            other.__diesel_locks_connection(),
                                        )
                                    })
                                },
                            );
                            ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
                        })
                    },
                );
                ::diesel_locks::__private::finish(ran, conn.__diesel_locks_connection())
            }
        "##]],
    );
}

#[test]
fn a_refused_function_is_kept_without_its_locks() {
    check_lock(
        quote!(),
        quote! {
            #[with_lock("inner")]
            pub async fn pay<T>(id: T) -> QueryResult<()> where T: Copy { Ok(()) }
        },
        &expect![[r#"
            ::core::compile_error! {
                "the lock has no name\nhelp: the correct format looks like `#[with_lock(\"nightly-report\")]`"
            }
            ::core::compile_error! {
                "`pay` has no argument named `conn` or of a type like `&mut MysqlConnection`\nhelp: take it as `conn: &mut MysqlConnection`, or say where it is: `#[with_lock(…, conn = self.conn)]`"
            }
            pub async fn pay<T>(id: T) -> QueryResult<()>
            where
                T: Copy,
            {
                let _ = &id;
                Ok(())
            }
        "#]],
    );
}

#[test]
fn an_item_that_is_not_a_function_is_kept() {
    check_lock(
        quote!("a"),
        quote!(
            pub struct Restaurant {
                id: i32,
            }
        ),
        &expect![[r#"
            ::core::compile_error! {
                "`#[with_lock]` is an attribute for functions\nhelp: the correct format looks like `#[with_lock(…)] fn repair(conn: &mut MysqlConnection) -> QueryResult<()> { … }`"
            }
            pub struct Restaurant {
                id: i32,
            }
        "#]],
    );
}

#[test]
fn an_async_body_gets_a_reborrow_and_is_awaited() {
    check_lock(
        quote!("nightly", if_busy = Ok(())),
        quote! {
            async fn nightly(conn: &mut AsyncMysqlConnection) -> QueryResult<()> { build(conn).await }
        },
        &expect![[r#"
            async fn nightly(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
                use ::diesel_locks::__private::aio::{AwaitedPlace as _, Lend as _};
                let held = ::diesel_locks::__private::aio::try_acquire(
                        &::diesel_locks::__private::Lock::new("nightly"),
                        conn.__diesel_locks_lend(),
                        |conn| conn.__diesel_locks_async_connection(),
                    )
                    .await;
                match ::diesel_locks::__private::aio::held::<QueryResult<()>, _>(held) {
                    ::core::result::Result::Ok((::core::option::Option::None, _)) => Ok(()),
                    ::core::result::Result::Ok((::core::option::Option::Some(mut held), end)) => {
                        let result = ::diesel_locks::__private::aio::body::<
                            QueryResult<()>,
                        >(async {
                                let conn = held.conn();
                                let _ = &conn;
                                ({ build(conn).await })
                            })
                            .await;
                        end.after(held, result).await
                    }
                    ::core::result::Result::Err(result) => result,
                }
            }
        "#]],
    );
}

#[test]
fn an_async_body_gets_an_owned_connection_as_a_reference() {
    check_tables(
        quote!(write("orders"), conn = db),
        quote! {
            async fn fill(mut db: Object) -> QueryResult<()> { insert(&mut db).await }
        },
        &expect![[r#"
            async fn fill(mut db: Object) -> QueryResult<()> {
                use ::diesel_locks::__private::aio::{AwaitedPlace as _, Lend as _};
                let held = ::diesel_locks::__private::aio::lock_tables(
                        &::diesel_locks::__private::TableLock::new().write_table("orders"),
                        db.__diesel_locks_lend(),
                        |conn| conn.__diesel_locks_async_connection(),
                    )
                    .await;
                match ::diesel_locks::__private::aio::held::<QueryResult<()>, _>(held) {
                    ::core::result::Result::Ok((mut held, end)) => {
                        let result = ::diesel_locks::__private::aio::body::<
                            QueryResult<()>,
                        >(async {
                                let mut db = held.owned();
                                let _ = &mut db;
                                ({ insert(&mut db).await })
                            })
                            .await;
                        end.after(held, result).await
                    }
                    ::core::result::Result::Err(result) => result,
                }
            }
        "#]],
    );
}
