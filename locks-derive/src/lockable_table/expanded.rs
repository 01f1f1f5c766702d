//! The implementation of `LockableTable`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Ident, Path};

use super::checked::Model;

impl Model {
    pub(super) fn expanded(&self) -> TokenStream {
        let Self { root, ident, generics, table, more_tables, parents } = self;
        let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
        // The derive's, so that a deprecated model is not reported for it.
        let mut model = ident.clone();
        model.set_span(Span::call_site().located_at(ident.span()));
        let table = table_type(table);
        let more_tables = more_tables.iter().map(table_type);
        let others: Vec<_> =
            more_tables.chain(parents.iter().map(ToTokens::to_token_stream)).collect();
        let parents = (!others.is_empty()).then(|| {
            quote! {
                fn parents(parents: &mut #root::__private::Parents<'_>) {
                    #(parents.add::<#others>();)*
                }
            }
        });
        quote! {
            #[automatically_derived]
            impl #impl_generics #root::__private::LockableTable
                for #model #type_generics #where_clause
            {
                type Table = #table;
                #parents
            }
        }
    }
}

impl ToTokens for Model {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.expanded());
    }
}

/// Returns the type in the table's module. If there is none, the compiler marks the user's path.
fn table_type(module: &Path) -> TokenStream {
    let end = module.segments.last().map_or_else(Span::call_site, |name| name.ident.span());
    let table = Ident::new("table", Span::call_site().located_at(end));
    quote!(#module::#table)
}
