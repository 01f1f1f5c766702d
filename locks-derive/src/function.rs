//! The function under an attribute. Its body stays tokens, as the user wrote them.

mod hidden_type;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    AttrStyle, Attribute, Error, GenericArgument, Ident, PathArguments, Result, ReturnType,
    Signature, Token, Type, TypeParamBound, Visibility,
};

use crate::connection::bindings;
use crate::diagnostic::{Faults, fault, looks_like};

/// Whether the library has the connections that are awaited, and those that block.
const AWAITS: bool = cfg!(any(feature = "async", test));
const BLOCKS: bool = cfg!(any(feature = "mysql", test));

pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    visibility: Visibility,
    pub(crate) signature: Signature,
    /// The statements of the body.
    pub(crate) body: TokenStream,
    braces: Span,
}

impl Function {
    pub(crate) fn read(item: TokenStream, attribute: &str) -> Result<Self> {
        (|input: ParseStream<'_>| Self::parse(input, attribute)).parse2(unwrapped(item))
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
        let body = body(input)?;
        let braces = body.span();
        let mut function =
            Self { attributes, visibility, signature, body: TokenStream::new(), braces };
        function.take_body(&body)?;
        Ok(function)
    }

    /// The body's inner attributes become the function's: inside a closure they are not allowed.
    fn take_body(&mut self, body: &Group) -> Result<()> {
        let split = |input: ParseStream<'_>| {
            Ok((input.call(Attribute::parse_inner)?, input.parse::<TokenStream>()?))
        };
        let (inner, statements) = split.parse2(body.stream())?;
        let outer = inner.into_iter().map(|inner| Attribute { style: AttrStyle::Outer, ..inner });
        self.attributes.extend(outer);
        self.body = statements;
        Ok(())
    }

    /// Checks the function, and returns its return type as an expression may name it.
    pub(crate) fn checked(&self, attribute: &str, faults: &mut Faults) -> Option<Type> {
        self.refuse_qualifiers(attribute, faults);
        let ident = &self.signature.ident;
        let message = "a function that returns nothing cannot return the error of a lock";
        let help = looks_like(format!("fn {ident}(…) -> diesel::QueryResult<()>"));
        match &self.signature.output {
            ReturnType::Default => faults.add(fault(ident, message, help)),
            ReturnType::Type(_, output) if returns_nothing(output) => {
                faults.add(fault(output, message, help));
            }
            ReturnType::Type(_, output) => {
                let mut output = (**output).clone();
                hidden_type::infer(&mut output);
                return Some(output);
            }
        }
        None
    }

    /// Returns the function as it is without its locks.
    pub(crate) fn into_unlocked(self) -> TokenStream {
        // Arguments that only the lock would have used are not to be reported as unused.
        let names = bindings(&self.signature).into_iter().map(|(binding, _)| &binding.ident);
        let body = &self.body;
        let body = quote!(#(let _ = &#names;)* #body);
        Self { body, ..self }.into_token_stream()
    }

    /// Puts the statements in the body's own braces, which the compiler marks if the last
    /// expression is missing.
    pub(crate) fn take_block(&mut self) -> Group {
        let mut block = Group::new(Delimiter::Brace, std::mem::take(&mut self.body));
        block.set_span(self.braces);
        block
    }

    fn refuse_qualifiers(&self, attribute: &str, faults: &mut Faults) {
        let Signature { constness, asyncness, abi, output, .. } = &self.signature;
        if let Some(constness) = constness {
            let message = "a `const fn` cannot acquire a lock";
            let help = "a lock is acquired at run time: remove `const`";
            faults.add(fault(constness, message, help));
        }
        if let Some(asyncness) = asyncness.filter(|_| !AWAITS) {
            let message = "an `async fn` needs the feature `async` of `diesel-locks`";
            let help = format!(
                "enable it, for a connection of diesel-async; for one that blocks, put \
                 `#[{attribute}(…)]` on a plain `fn`, and call that with the runtime's function for \
                 blocking code, such as `tokio::task::spawn_blocking`"
            );
            faults.add(fault(asyncness, message, help));
        }
        if asyncness.is_none() && !BLOCKS {
            let message = "a plain `fn` needs the feature `mysql` of `diesel-locks`";
            let help = "enable it, or write `async fn` for a connection of diesel-async";
            faults.add(fault(self.signature.fn_token, message, help));
        }
        if let (None, ReturnType::Type(_, output)) = (asyncness, output) {
            if returns_future(output) {
                let message = "the lock would be released before this future runs";
                let help = format!(
                    "write `async fn`; under `#[async_trait]`, put `#[{attribute}(…)]` on another \
                     `async fn` outside of the trait, and call that"
                );
                faults.add(fault(output, message, help));
            }
        }
        if let Some(abi) = abi {
            let message = "an `extern` function cannot return the error of a lock";
            let help = format!("put `#[{attribute}(…)]` on a plain `fn`, and call that from it");
            faults.add(fault(abi, message, help));
        }
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attributes, visibility, signature, .. } = self;
        // Braces of the macro, so that lints about whole functions do not report the user's.
        let mut body = Group::new(Delimiter::Brace, self.body.clone());
        body.set_span(Span::mixed_site().located_at(self.braces));
        tokens.extend(quote!(#(#attributes)* #visibility #signature #body));
    }
}

/// Returns the item without the invisible parentheses around `$item:item`.
fn unwrapped(item: TokenStream) -> TokenStream {
    let mut tokens = item.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Group(group)), None) if group.delimiter() == Delimiter::None => {
            unwrapped(group.stream())
        }
        _ => item,
    }
}

/// Returns the braces, which may be in the invisible parentheses around `$body:block`.
fn body(input: ParseStream<'_>) -> Result<Group> {
    match input.parse()? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            body.parse2(group.stream())
        }
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Ok(group),
        other => Err(Error::new_spanned(other, "expected the function's body")),
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
    let message = format!("`#[{attribute}]` is an attribute for functions");
    let help = looks_like(format!(
        "#[{attribute}(…)] fn repair(conn: &mut MysqlConnection) -> QueryResult<()> {{ … }}"
    ));
    fault(input.cursor().token_tree().map(|(token, _)| token), message, help)
}

/// `impl Future`, or a pinned box of one, as `#[async_trait]` writes it.
fn returns_future(output: &Type) -> bool {
    let is_future = |bounds: &Punctuated<TypeParamBound, Token![+]>| {
        bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => {
                bound.path.segments.last().is_some_and(|last| last.ident == "Future")
            }
            _ => false,
        })
    };
    match output {
        Type::ImplTrait(hidden) => is_future(&hidden.bounds),
        Type::TraitObject(object) => is_future(&object.bounds),
        Type::Paren(inner) => returns_future(&inner.elem),
        Type::Group(inner) => returns_future(&inner.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let is_pointer = last.ident == "Pin" || last.ident == "Box";
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
            is_pointer
                && arguments.args.iter().any(|argument| match argument {
                    GenericArgument::Type(inner) => returns_future(inner),
                    _ => false,
                })
        }),
        _ => false,
    }
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
