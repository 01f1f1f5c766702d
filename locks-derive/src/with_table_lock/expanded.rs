//! The description of a table lock.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

use super::args::{Source, Table};
use super::checked::TableLock;

impl TableLock {
    /// Returns the lock, as an expression.
    pub(crate) fn expanded(&self) -> TokenStream {
        let root = &self.root;
        let read = self.read.iter().map(|table| table.expanded("read"));
        let write = self.write.iter().map(|table| table.expanded("write"));
        let timeout = self.timeout.as_ref().map(|timeout| timeout.expanded(root));
        quote_spanned! {Span::mixed_site()=>
            #root::__private::TableLock::new() #(#read)* #(#write)* #timeout
        }
    }
}

impl Table {
    /// Returns the call that adds the table: `.read::<Model>()`, `.write_table_as("table",
    /// "alias")`.
    fn expanded(&self, level: &str) -> TokenStream {
        let Self { source, alias } = self;
        let site = Span::mixed_site();
        let by_name = if matches!(source, Source::Model(_)) { "" } else { "_table" };
        let aliased = if alias.is_some() { "_as" } else { "" };
        let method = Ident::new(&format!("{level}{by_name}{aliased}"), site);
        match source {
            Source::Model(model) => quote_spanned!(site=> .#method::<#model>(#alias)),
            table => {
                let alias = alias.as_ref().map(|alias| quote_spanned!(site=> , #alias));
                quote_spanned!(site=> .#method(#table #alias))
            }
        }
    }
}
