//! The implementation.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{DeriveInput, Ident};

use super::valid::Model;

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    match Model::check(input) {
        Ok(model) => model.implementation(input),
        Err(errors) => errors,
    }
}

impl Model {
    pub(super) fn implementation(&self, input: &DeriveInput) -> TokenStream {
        let Self { root, table, parents } = self;
        let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
        let model = &input.ident;
        // Where the user's path leads to no table, the compiler marks that path.
        let end = table.segments.last().map_or_else(Span::call_site, |name| name.ident.span());
        let table_type = Ident::new("table", Span::call_site().located_at(end));
        let parents = (!parents.is_empty()).then(|| {
            quote! {
                fn parents(parents: &mut #root::__private::Parents<'_>) {
                    #(parents.add::<#parents>();)*
                }
            }
        });
        quote! {
            #[automatically_derived]
            #[allow(deprecated)]
            impl #impl_generics #root::__private::LockableTable
                for #model #type_generics #where_clause
            {
                type Table = #table::#table_type;
                #parents
            }
        }
    }
}
