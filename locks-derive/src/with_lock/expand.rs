//! How the lock is taken.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::Result;
use syn::parse::ParseStream;

use super::args::Args;
use crate::diagnostic::Faults;
use crate::layer::Call;

pub(crate) fn call(input: ParseStream<'_>, faults: &mut Faults) -> Result<Call> {
    let args = Args::read(input, faults)?;
    args.check(faults);
    Ok(Call { lock: lock(&args), acquire: acquire(&args), options: args.options })
}

fn lock(args: &Args) -> TokenStream {
    let root = args.options.root();
    let name = args.name();
    let timeout = args.options.timeout();
    let server_wide = args
        .server_wide
        .as_ref()
        .map(|flag| quote_spanned!(Span::mixed_site().located_at(flag.span())=> .server_wide()));
    quote_spanned!(Span::mixed_site()=> #root::__private::Lock::new(#name) #timeout #server_wide)
}

fn acquire(args: &Args) -> &'static str {
    if args.transaction.is_some() { "acquire_and_begin" } else { "acquire" }
}
