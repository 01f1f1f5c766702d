//! How the tables are locked.

use proc_macro2::Span;
use quote::quote_spanned;
use syn::Result;
use syn::parse::ParseStream;

use super::args::Args;
use crate::diagnostic::Faults;
use crate::layer::Call;

pub(crate) fn call(input: ParseStream<'_>, faults: &mut Faults) -> Result<Call> {
    let args = Args::read(input, faults)?;
    args.check(faults);
    let root = args.options.root();
    let tables = args.tables();
    let timeout = args.options.timeout();
    let lock = quote_spanned! {Span::mixed_site()=>
        #root::__private::TableLock::new() #tables #timeout
    };
    Ok(Call { lock, acquire: "lock_tables", options: args.options })
}
