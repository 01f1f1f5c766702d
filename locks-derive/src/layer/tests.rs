//! What the attributes expand to.
#![allow(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use expect_test::{Expect, expect};
use proc_macro2::TokenStream;
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
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("nightly-{report}"),
                    ::diesel_locks::__private::connection(&mut *conn),
                );
                let ran = ::diesel_locks::__private::run::<
                    Result<Report, AppError>,
                >(
                    held,
                    || {
                        #[allow(unused_variables)]
                        let conn = &mut *conn;
                        { build(conn) }
                    },
                );
                ::diesel_locks::__private::finish(
                    ran,
                    ::diesel_locks::__private::connection(&mut *conn),
                )
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
                let held = ::diesel_locks::__private::acquire_and_begin(
                    &::diesel_locks::__private::Lock::new(
                            &::std::format!("{}-{id}-{last}", order.id, last = f(x)),
                        )
                        .timeout(::diesel_locks::__private::timeout(2.5))
                        .server_wide(),
                    ::diesel_locks::__private::connection(&mut *conn),
                );
                let ran = ::diesel_locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        #[allow(unused_variables)]
                        let mut conn = &mut *conn;
                        { Ok(()) }
                    },
                );
                ::diesel_locks::__private::finish(
                    ran,
                    ::diesel_locks::__private::connection(&mut *conn),
                )
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
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("a"),
                    ::diesel_locks::__private::connection(&mut self.conn),
                );
                let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(
                    ran,
                    ::diesel_locks::__private::connection(&mut self.conn),
                )
            }
        "#]],
    );
}

#[test]
fn a_call_is_evaluated_once() {
    check_lock(
        quote!("a", conn = pool.get()?),
        quote!(
            fn pay(pool: &Pool) -> Result<impl Iterator<Item = impl Sized>, Error> {
                Ok(())
            }
        ),
        &expect![[r#"
            fn pay(pool: &Pool) -> Result<impl Iterator<Item = impl Sized>, Error> {
                let mut connection = pool.get()?;
                let connection = ::diesel_locks::__private::connection(&mut connection);
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("a"),
                    &mut *connection,
                );
                let ran = ::diesel_locks::__private::run::<Result<_, Error>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(ran, &mut *connection)
            }
        "#]],
    );
}

#[test]
fn a_connection_that_is_no_reference_is_not_lent() {
    check_lock(
        quote!("a"),
        quote!(
            fn pay(mut conn: Pooled) -> QueryResult<()> {
                Ok(())
            }
        ),
        &expect![[r#"
            fn pay(mut conn: Pooled) -> QueryResult<()> {
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("a"),
                    ::diesel_locks::__private::connection(&mut *conn),
                );
                let ran = ::diesel_locks::__private::run::<QueryResult<()>>(held, || { Ok(()) });
                ::diesel_locks::__private::finish(
                    ran,
                    ::diesel_locks::__private::connection(&mut *conn),
                )
            }
        "#]],
    );
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
                let held = my_crate::locks::__private::lock_tables(
                    &my_crate::locks::__private::TableLock::new()
                        .read::<audit_log::table>()
                        .read_table(("other", "log"))
                        .write::<Restaurant<'_>>()
                        .write_table("log")
                        .timeout(my_crate::locks::__private::timeout(LIMIT)),
                    my_crate::locks::__private::connection(&mut *conn),
                );
                let ran = my_crate::locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        #[allow(unused_variables)]
                        let conn = &mut *conn;
                        { Ok(()) }
                    },
                );
                my_crate::locks::__private::finish(
                    ran,
                    my_crate::locks::__private::connection(&mut *conn),
                )
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
                let held = ::diesel_locks::__private::acquire(
                    &::diesel_locks::__private::Lock::new("outer"),
                    ::diesel_locks::__private::connection(&mut *conn),
                );
                let ran = ::diesel_locks::__private::run::<
                    QueryResult<()>,
                >(
                    held,
                    || {
                        #[allow(unused_variables)]
                        let conn = &mut *conn;
                        {
                            #[allow(unused_imports)]
                            use diesel_locks::with_table_lock as _;
                            let held = ::diesel_locks::__private::lock_tables(
                                &::diesel_locks::__private::TableLock::new().read::<Customer>(),
                                ::diesel_locks::__private::connection(&mut *conn),
                            );
                            let ran = ::diesel_locks::__private::run::<
                                QueryResult<()>,
                            >(
                                held,
                                || {
                                    #[allow(unused_variables)]
                                    let mut conn = &mut *conn;
                                    {
                                        #[allow(unused_imports)]
                                        use with_lock as _;
                                        let held = ::diesel_locks::__private::acquire(
                                            &::diesel_locks::__private::Lock::new("inner"),
                                            ::diesel_locks::__private::connection(&mut *other),
                                        );
                                        let ran = ::diesel_locks::__private::run::<
                                            QueryResult<()>,
                                        >(
                                            held,
                                            || {
                                                #[allow(unused_variables)]
                                                let other = &mut *other;
                                                { Ok(()) }
                                            },
                                        );
                                        ::diesel_locks::__private::finish(
                                            ran,
                                            ::diesel_locks::__private::connection(&mut *other),
                                        )
                                    }
                                },
                            );
                            ::diesel_locks::__private::finish(
                                ran,
                                ::diesel_locks::__private::connection(&mut *conn),
                            )
                        }
                    },
                );
                ::diesel_locks::__private::finish(
                    ran,
                    ::diesel_locks::__private::connection(&mut *conn),
                )
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
                "an `async fn` cannot wait for a lock, since the connection blocks\nhelp: put `#[with_lock(…)]` on a plain `fn`, and call that one from the `async fn` by what its runtime has for blocking code, such as `tokio::task::spawn_blocking`"
            }
            ::core::compile_error! {
                "`pay` has no argument that is a connection\nhelp: take it as `conn: &mut MysqlConnection`, or say where it is: `#[with_lock(…, conn = self.conn)]`"
            }
            #[allow(unused_variables)]
            pub async fn pay<T>(id: T) -> QueryResult<()>
            where
                T: Copy,
            {
                Ok(())
            }
        "#]],
    );
}

#[test]
fn what_is_no_function_is_kept() {
    check_lock(
        quote!("a"),
        quote!(
            pub struct Restaurant {
                id: i32,
            }
        ),
        &expect![[r#"
            ::core::compile_error! {
                "`#[with_lock]` is an attribute of functions\nhelp: the correct format looks like `#[with_lock(…)] fn repair(conn: &mut MysqlConnection) -> QueryResult<()> { … }`"
            }
            pub struct Restaurant {
                id: i32,
            }
        "#]],
    );
}
