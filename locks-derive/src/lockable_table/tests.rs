//! The expansions of the derive.
#![allow(clippy::unwrap_used)]
#![allow(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use expect_test::{Expect, expect};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, parse_quote};

use super::{expand, table_name};
use crate::testing::assert_expansion;

fn check(input: &TokenStream, expected: &Expect) {
    assert_expansion(expand(&parse_quote!(#input)), expected);
}

#[test]
fn a_table_name_is_inferred_as_diesel_does() {
    check(
        &quote!(
            struct BlogPost;
        ),
        &expect![[r#"
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for BlogPost {
                type Table = blog_posts::table;
            }
        "#]],
    );
}

#[test]
fn parents_are_added_in_order() {
    check(
        &quote! {
            #[diesel(table_name = crate::schema::restaurants)]
            #[lockable(parents(Place, building::Building<u8>))]
            struct Restaurant { id: i32 }
        },
        &expect![[r#"
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for Restaurant {
                type Table = crate::schema::restaurants::table;
                fn parents(parents: &mut ::diesel_locks::__private::Parents<'_>) {
                    parents.add::<Place>();
                    parents.add::<building::Building<u8>>();
                }
            }
        "#]],
    );
}

#[test]
fn all_tables_of_a_model_are_locked() {
    check(
        &quote! {
            #[diesel(table_name = users, table_name = schema::archived_users)]
            #[lockable(parents(Person))]
            struct User;
        },
        &expect![[r#"
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for User {
                type Table = users::table;
                fn parents(parents: &mut ::diesel_locks::__private::Parents<'_>) {
                    parents.add::<schema::archived_users::table>();
                    parents.add::<Person>();
                }
            }
        "#]],
    );
}

#[test]
fn generics_are_carried() {
    check(
        &quote! {
            struct Row<'a, T: Clone = u8, const N: usize = 1>(&'a [T; N]) where T: Copy;
        },
        &expect![[r#"
            #[automatically_derived]
            impl<'a, T: Clone, const N: usize> ::diesel_locks::__private::LockableTable
            for Row<'a, T, N>
            where
                T: Copy,
            {
                type Table = rows::table;
            }
        "#]],
    );
}

#[test]
fn another_root_is_used_for_all_paths() {
    check(
        &quote! {
            #[lockable(crate = my_crate::locks, parents(Place),)]
            struct Restaurant;
        },
        &expect![[r#"
            #[automatically_derived]
            impl my_crate::locks::__private::LockableTable for Restaurant {
                type Table = restaurants::table;
                fn parents(parents: &mut my_crate::locks::__private::Parents<'_>) {
                    parents.add::<Place>();
                }
            }
        "#]],
    );
}

#[test]
fn an_error_comes_with_a_stub_of_the_same_table() {
    check(
        &quote! {
            #[lockable(parent(Place))]
            struct Restaurant;
        },
        &expect![[r#"
            ::core::compile_error! {
                "unknown key `parent`, expected one of `parents`, `crate`\nhelp: the correct format looks like `#[lockable(parents(Place, Building))]`"
            }
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for Restaurant {
                type Table = restaurants::table;
            }
        "#]],
    );
    check(
        &quote! {
            #[diesel(table_name = restaurants)]
            enum Restaurant { Open }
        },
        &expect![[r#"
            ::core::compile_error! {
                "`LockableTable` can only be derived for structs, but `Restaurant` is an enum\nhelp: the correct format looks like `#[derive(LockableTable)] struct Restaurant`"
            }
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for Restaurant {
                type Table = restaurants::table;
            }
        "#]],
    );
}

#[test]
fn an_error_about_the_table_comes_without_a_stub() {
    check(
        &quote! {
            #[diesel(table_name = "restaurants")]
            struct Restaurant;
        },
        &expect![[r#"
            ::core::compile_error! {
                "expected a path, not a string\nhelp: the correct format looks like `#[diesel(table_name = restaurants)]`"
            }
        "#]],
    );
}

#[test]
fn diesels_other_keys_are_not_read() {
    check(
        &quote! {
            #[diesel(belongs_to(Place, foreign_key = a), sql_type = Map<A, B>, future thing)]
            #[diesel(check_for_backend(diesel::mysql::Mysql), table_name = r#type)]
            struct Restaurant;
        },
        &expect![[r#"
            #[automatically_derived]
            impl ::diesel_locks::__private::LockableTable for Restaurant {
                type Table = r#type::table;
            }
        "#]],
    );
}

#[test]
fn inferred_names_are_diesels() {
    let inferred = |name: &str| {
        let path = table_name::inferred(&syn::parse_str::<Ident>(name).unwrap());
        quote!(#path).to_string()
    };
    // Diesel's own examples.
    assert_eq!(inferred("Foo"), "foos");
    assert_eq!(inferred("FooBarBaz"), "foo_bar_bazs");
    // Results of its code.
    assert_eq!(inferred("HTTPLog"), "h_t_t_p_logs");
    assert_eq!(inferred("Utf8"), "utf8s");
    assert_eq!(inferred("Foo_Bar"), "foo__bars");
    assert_eq!(inferred("A"), "r#as");
    // Names on which it panics.
    assert_eq!(inferred("Äpfel"), "äpfels");
    assert_eq!(inferred("r#type"), "types");
}
