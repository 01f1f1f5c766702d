//! The function that an attribute is on. Its body stays tokens, as the user wrote them.

mod hidden_type;

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{
    AttrStyle, Attribute, Error, Ident, Result, ReturnType, Signature, Token, Type, Visibility,
};

use crate::diagnostic::{Faults, fault, looks_like};

pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: TokenStream,
}

impl Function {
    pub(crate) fn read(item: TokenStream, attribute: &str) -> Result<Self> {
        (|input: ParseStream<'_>| Self::parse(input, attribute)).parse2(item)
    }

    fn parse(input: ParseStream<'_>, attribute: &str) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = signature(input, attribute)?;
        if input.peek(Token![;]) {
            let message = "a function without a body has nothing to run under a lock";
            let help = format!("put `#[{attribute}(…)]` on a function with a body");
            return Err(fault(input.parse::<Token![;]>()?, message, help));
        }
        let body: Group = input.parse()?;
        let mut function = Self { attributes, visibility, signature, body: TokenStream::new() };
        function.take_body(&body)?;
        Ok(function)
    }

    /// The body's inner attributes become the function's: where the body goes they are not allowed.
    fn take_body(&mut self, body: &Group) -> Result<()> {
        let split = |input: ParseStream<'_>| {
            Ok((input.call(Attribute::parse_inner)?, input.parse::<TokenStream>()?))
        };
        let (inner, statements) = split.parse2(body.stream())?;
        let outer = inner.into_iter().map(|inner| Attribute { style: AttrStyle::Outer, ..inner });
        self.attributes.extend(outer);
        let mut statements = Group::new(Delimiter::Brace, statements);
        statements.set_span(body.span());
        self.body = statements.into_token_stream();
        Ok(())
    }

    /// What no function under a lock can be.
    pub(crate) fn refuse(&self, attribute: &str, faults: &mut Faults) {
        let Signature { constness, asyncness, abi, ident, output, .. } = &self.signature;
        if let Some(constness) = constness {
            let message = "a `const fn` cannot take a lock";
            let help = "a lock is taken at run time: remove `const`";
            faults.add(fault(constness, message, help));
        }
        if let Some(asyncness) = asyncness {
            let message = "an `async fn` cannot wait for a lock, since the connection blocks";
            let help = format!(
                "put `#[{attribute}(…)]` on a plain `fn`, and call that one from the `async fn` by \
                 what its runtime has for blocking code, such as `tokio::task::spawn_blocking`"
            );
            faults.add(fault(asyncness, message, help));
        }
        if let Some(abi) = abi {
            let message = "an `extern` function cannot return the error of a lock";
            let help =
                format!("put `#[{attribute}(…)]` on a plain `fn`, and call that one from it");
            faults.add(fault(abi, message, help));
        }
        let message = "a function that returns nothing cannot return the error of a lock";
        let help = looks_like(format!("fn {ident}(…) -> diesel::QueryResult<()>"));
        match output {
            ReturnType::Default => faults.add(fault(ident, message, help)),
            ReturnType::Type(_, output) if returns_nothing(output) => {
                faults.add(fault(output, message, help));
            }
            ReturnType::Type(..) => {}
        }
    }

    /// The return type as an expression may name it.
    pub(crate) fn output(&self) -> TokenStream {
        let ReturnType::Type(_, output) = &self.signature.output else { return quote!(()) };
        let mut output = (**output).clone();
        hidden_type::infer(&mut output);
        output.into_token_stream()
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attributes, visibility, signature, body } = self;
        tokens.extend(quote!(#(#attributes)* #visibility #signature #body));
    }
}

fn signature(input: ParseStream<'_>, attribute: &str) -> Result<Signature> {
    let first = input.fork();
    let ahead = input.fork();
    match ahead.parse::<Signature>() {
        Ok(signature) => {
            input.advance_to(&ahead);
            Ok(signature)
        }
        Err(error) if starts_function(&first) => Err(error),
        Err(_) => Err(not_a_function(input, attribute)),
    }
}

fn starts_function(input: ParseStream<'_>) -> bool {
    const BEFORE: [&str; 5] = ["const", "async", "unsafe", "safe", "extern"];
    while let Ok(word) = Ident::parse_any(input) {
        if word == "fn" {
            return true;
        }
        if !BEFORE.iter().any(|before| word == before) {
            return false;
        }
        let _ = input.parse::<Option<syn::LitStr>>();
    }
    false
}

fn not_a_function(input: ParseStream<'_>, attribute: &str) -> Error {
    let message = format!("`#[{attribute}]` is an attribute of functions");
    let help = looks_like(format!(
        "#[{attribute}(…)] fn repair(conn: &mut MysqlConnection) -> QueryResult<()> {{ … }}"
    ));
    fault(input.cursor().token_tree().map(|(token, _)| token), message, help)
}

fn returns_nothing(output: &Type) -> bool {
    match output {
        Type::Never(_) => true,
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        Type::Paren(inner) => returns_nothing(&inner.elem),
        Type::Group(inner) => returns_nothing(&inner.elem),
        _ => false,
    }
}
