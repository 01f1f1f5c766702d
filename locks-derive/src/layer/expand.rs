//! The function's new body.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{FnArg, Pat, Path, Signature, Token, parse_quote};

use super::{Call, Layer};
use crate::connection::Connection;
use crate::function::Function;

/// From the inside to the outside: the first layer's lock is taken first.
pub(super) fn wrap_all(function: &mut Function, layers: &[Layer], connections: &[Connection]) {
    let output = function.output();
    let mut body = std::mem::take(&mut function.body);
    allow_underscores(function, connections);
    for (layer, connection) in layers.iter().zip(connections).rev() {
        let lent = lend(connection, &mut function.signature);
        if let Some(call) = &layer.call {
            let lent_body = lent.map_or_else(|| body.clone(), |lent| quote!({ #lent #body }));
            body = wrap(call, layer.path.as_ref(), connection, &output, &lent_body);
        }
    }
    function.body = body;
}

/// A connection that only the lock uses may have a name that says so.
fn allow_underscores(function: &mut Function, connections: &[Connection]) {
    let is_underscored = |name: &Ident| name.to_string().starts_with('_');
    if connections.iter().filter_map(Connection::argument).any(is_underscored) {
        function.attributes.push(parse_quote! {
            #[allow(clippy::used_underscore_binding, clippy::no_effect_underscore_binding)]
        });
    }
}

/// A body may move its connection elsewhere, and it is needed once more after it.
fn lend(connection: &Connection, signature: &mut Signature) -> Option<TokenStream> {
    let name = connection.lent()?;
    // The binding that the body sees is the one that it may change.
    let mutability = take_mutability(name, signature);
    let borrow = connection.borrow();
    Some(quote_spanned! {Span::mixed_site()=>
        #[allow(unused_variables)]
        let #mutability #name = #borrow;
    })
}

fn take_mutability(name: &Ident, signature: &mut Signature) -> Option<Token![mut]> {
    signature.inputs.iter_mut().find_map(|input| match input {
        FnArg::Typed(input) => match &mut *input.pat {
            Pat::Ident(binding) if binding.ident == *name => binding.mutability.take(),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    })
}

fn wrap(
    call: &Call,
    path: Option<&Path>,
    connection: &Connection,
    output: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let Call { lock, acquire, options } = call;
    let site = Span::mixed_site();
    let root = options.root();
    let acquire = Ident::new(acquire, site);
    let setup = connection.setup(&root);
    let conn = connection.tokens(&root);
    // Else the compiler would take the attribute's import for unused.
    let mention = path.map(|path| {
        quote_spanned! {site=>
            #[allow(unused_imports)]
            use #path as _;
        }
    });
    quote_spanned! {site=>
        {
            #mention
            #setup
            let held = #root::__private::#acquire(&#lock, #conn);
            let ran = #root::__private::run::<#output>(held, || #body);
            #root::__private::finish(ran, #conn)
        }
    }
}
