//! `#[derive(LockableTable)]`.

mod args;
mod checked;
mod expanded;
mod table_name;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use self::args::Args;
use crate::diagnostic::Faults;

pub(crate) fn expand(input: &DeriveInput) -> TokenStream {
    let mut faults = Faults::default();
    match Args::read(input, &mut faults).checked(input, faults) {
        Ok(model) => model.expanded(),
        Err(refused) => refused.expanded(),
    }
}
