//! The attribute `plugin`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{
    Error, FnArg, ImplItem, ImplItemFn, ImplItemType, ItemImpl, Result, ReturnType, Type,
    parse_quote,
};

use crate::{suggest, target};

/// An associated type that is `()` if the plugin does not have it.
struct Filled {
    name: &'static str,
    /// Whether it has a lifetime, for data that it borrows from an event.
    borrows: bool,
    /// The methods that receive or return it, with the place in their signature.
    uses: &'static [(&'static str, Place)],
}

/// A place in the signature of a method.
enum Place {
    /// A parameter, counted from 0 with `self`.
    Parameter(usize),
    Return,
}

use Place::{Parameter, Return};

const FILLED: &[Filled] = &[
    Filled {
        name: "Options",
        borrows: false,
        uses: &[("open", Parameter(0))],
    },
    Filled {
        name: "Packet",
        borrows: true,
        uses: &[("init", Parameter(1)), ("update", Parameter(2))],
    },
    Filled {
        name: "AtInit",
        borrows: true,
        uses: &[("init", Parameter(2))],
    },
    Filled {
        name: "AtUpdate",
        borrows: true,
        uses: &[("update", Parameter(3))],
    },
    Filled {
        name: "AtExpire",
        borrows: true,
        uses: &[("expire", Parameter(2))],
    },
    Filled {
        name: "State",
        borrows: false,
        uses: &[
            ("init", Return),
            ("update", Parameter(1)),
            ("expire", Parameter(1)),
        ],
    },
    Filled {
        name: "Outputs",
        borrows: false,
        uses: &[("expire", Return)],
    },
];

/// The methods that an implementation must have.
const REQUIRED: &[&str] = &["open", "init", "update", "expire"];

/// Adds the missing associated types to `impl Plugin for …`, and exports the type.
///
/// The implementation remains as it is, so that an editor can complete in it. Its errors are those of the
/// compiler, except for the ones that would be hard to understand.
pub(crate) fn expand(arguments: &TokenStream, item: TokenStream) -> TokenStream {
    match parse(arguments, &item) {
        Ok(mut plugin) => {
            let errors = fill(&mut plugin);
            let ty = &plugin.self_ty;
            // Without an export, an error appears once.
            let export = match &errors {
                None => quote!(::flowloom_sdk::__export!(#ty);),
                Some(errors) => errors.to_compile_error(),
            };
            quote!(#plugin #export)
        }
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#item #error)
        }
    }
}

fn parse(arguments: &TokenStream, item: &TokenStream) -> Result<ItemImpl> {
    const WHERE: &str = "`#[flowloom_sdk::plugin]` must be in front of `impl Plugin for …`";
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`#[flowloom_sdk::plugin]` has no arguments",
        ));
    }
    let plugin: ItemImpl =
        syn::parse2(item.clone()).map_err(|_| Error::new(Span::call_site(), WHERE))?;
    let of_plugin = plugin.trait_.as_ref().is_some_and(|(_, path, _)| {
        path.segments
            .last()
            .is_some_and(|last| last.ident == "Plugin")
    });
    if !of_plugin {
        return Err(Error::new_spanned(&plugin.self_ty, WHERE));
    }
    Ok(plugin)
}

/// Adds what is missing. Returns the errors that the compiler would not explain.
fn fill(plugin: &mut ItemImpl) -> Option<Error> {
    let mut errors: Option<Error> = None;
    let mut fail = |error: Error| match &mut errors {
        Some(errors) => errors.combine(error),
        None => errors = Some(error),
    };
    if !plugin.generics.params.is_empty() {
        fail(Error::new_spanned(
            &plugin.generics.params,
            "a plugin cannot have generic parameters, because a component exports one type",
        ));
    }
    let mut added = Vec::new();
    for filled in FILLED {
        if let Some(found) = find_type(plugin, filled.name) {
            if filled.borrows && found.generics.params.is_empty() {
                let ty = target::borrowed(&found.ty);
                fail(Error::new_spanned(
                    &found.ident,
                    format!(
                        "`{0}` needs a lifetime: write `type {0}<'a> = {1};`",
                        filled.name,
                        target::text(&ty)
                    ),
                ));
                found.generics = parse_quote!(<'a>);
                found.ty = ty;
            }
            continue;
        }
        let name = format_ident!("{}", filled.name);
        let generics = filled.borrows.then(|| quote!(<'a>));
        // The compiler reports the misspelt name. With its type, that is the only error.
        let misspelt = unknown_types(plugin).find(|found| similar(&found.ident, filled.name));
        let ty = match misspelt {
            Some(found) => found.ty.to_token_stream(),
            None => match used_as(plugin, filled) {
                Some((method, verb, ty)) => {
                    let borrowed = target::borrowed(ty);
                    fail(Error::new_spanned(
                        ty,
                        format!(
                            "`{method}` {verb} `{0}`, but the plugin has no `type {1}`, so it is `()`; \
                             add `type {1}{2} = {3};`",
                            target::text(ty),
                            filled.name,
                            if filled.borrows { "<'a>" } else { "" },
                            target::text(&borrowed)
                        ),
                    ));
                    quote!(#borrowed)
                }
                None => quote!(()),
            },
        };
        added.push(ImplItem::Verbatim(quote!(type #name #generics = #ty;)));
    }
    // Stands for a method whose name is misspelt, so that the compiler does not also say that it is missing.
    for name in REQUIRED {
        let missing = methods(plugin).all(|method| method.sig.ident != name);
        let misspelt =
            unknown_methods(plugin).find(|method| missing && similar(&method.sig.ident, name));
        if let Some(method) = misspelt {
            let mut signature = method.sig.clone();
            signature.ident = format_ident!("{name}");
            added.push(ImplItem::Verbatim(quote! {
                #[allow(unused)]
                #signature { ::core::unreachable!() }
            }));
        }
    }
    plugin.items.extend(added);
    errors
}

/// Returns the first use of a type in a signature that is not `()`, with the name of the method and a verb.
fn used_as<'a>(
    plugin: &'a ItemImpl,
    filled: &Filled,
) -> Option<(&'static str, &'static str, &'a Type)> {
    filled.uses.iter().find_map(|(name, place)| {
        let signature = &methods(plugin).find(|method| method.sig.ident == name)?.sig;
        let ty = match place {
            Return => match &signature.output {
                ReturnType::Default => None,
                ReturnType::Type(_, ty) => Some(&**ty),
            },
            Parameter(n) => match signature.inputs.iter().nth(*n)? {
                FnArg::Typed(parameter) => Some(&*parameter.ty),
                FnArg::Receiver(_) => None,
            },
        }?;
        let ty = match ty {
            Type::Reference(reference) => &*reference.elem,
            ty => ty,
        };
        let is_nothing = match ty {
            Type::Tuple(tuple) => tuple.elems.is_empty(),
            // `Self::State` and `<Self as Plugin>::State` are what the macro adds.
            Type::Path(path) => path.qself.is_some() || path.path.segments.first()?.ident == "Self",
            _ => false,
        };
        let verb = match place {
            Return => "returns",
            Parameter(_) => "takes",
        };
        (!is_nothing).then_some((*name, verb, ty))
    })
}

fn find_type<'a>(plugin: &'a mut ItemImpl, name: &str) -> Option<&'a mut ImplItemType> {
    plugin.items.iter_mut().find_map(|item| match item {
        ImplItem::Type(found) if found.ident == name => Some(found),
        _ => None,
    })
}

fn methods(plugin: &ItemImpl) -> impl Iterator<Item = &ImplItemFn> {
    plugin.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    })
}

fn unknown_types(plugin: &ItemImpl) -> impl Iterator<Item = &ImplItemType> {
    plugin.items.iter().filter_map(|item| match item {
        ImplItem::Type(found) if FILLED.iter().all(|filled| found.ident != filled.name) => {
            Some(found)
        }
        _ => None,
    })
}

fn unknown_methods(plugin: &ItemImpl) -> impl Iterator<Item = &ImplItemFn> {
    methods(plugin).filter(|method| METHODS.iter().all(|name| method.sig.ident != name))
}

/// Returns whether an unknown name is a misspelling of this one.
fn similar(wrong: &Ident, name: &str) -> bool {
    let wrong = wrong.to_string();
    let types = FILLED.iter().map(|filled| filled.name);
    suggest::nearest(&wrong, types.chain(METHODS.iter().copied())) == Some(name)
}

/// All methods of the trait.
const METHODS: &[&str] = &[
    "open",
    "adapt",
    "init",
    "update",
    "expire",
    "finish",
    "at_init",
    "at_update",
    "at_expire",
    "packets_per_flow",
    "state_bytes",
    "payload_bytes",
    "packet_bytes",
    "cuts_flows",
    "cuts",
    "needs_one_meter",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(item: TokenStream) -> String {
        expand(&TokenStream::new(), item).to_string()
    }

    #[test]
    fn missing_types_are_nothing_and_the_type_is_exported() {
        let complete = quote! {
            impl Plugin for Sum {
                const DESCRIPTION: &'static str = "";
                type Packet<'a> = Packet<'a>;
                type Outputs = Out;
                fn open((): ()) -> Result<Self, String> { Ok(Sum) }
                fn init(&mut self, packet: &Packet<'_>, _: &()) {}
                fn update(&mut self, (): &mut (), packet: &Packet<'_>, _: &()) {}
                fn expire(&mut self, (): (), _: &Self::AtExpire<'_>) -> Out { Out {} }
            }
        };
        let kept = complete.to_string();
        let kept = kept.strip_suffix('}').expect("a block");
        let expected = format!(
            "{kept}{} }} {}",
            quote! {
                type Options = ();
                type AtInit<'a> = ();
                type AtUpdate<'a> = ();
                type AtExpire<'a> = ();
                type State = ();
            },
            quote!(::flowloom_sdk::__export!(Sum);)
        );
        let tokens: TokenStream = expected.parse().expect("tokens");
        assert_eq!(expanded(complete), tokens.to_string());
    }

    #[test]
    fn a_misspelt_name_is_the_only_error() {
        let misspelt = expanded(quote! {
            impl Plugin for Sum {
                type Optoins = Opts;
                fn open(options: Opts) -> Result<Self, String> {}
                fn udpate(&mut self, (): &mut (), _: &(), _: &()) {}
            }
        });
        let options = quote!(
            type Options = Opts;
        )
        .to_string();
        assert!(misspelt.contains(&options), "{misspelt}");
        let update = quote!(fn update(&mut self, (): &mut (), _: &(), _: &())).to_string();
        assert!(misspelt.contains(&update), "{misspelt}");
        assert!(!misspelt.contains("compile_error"), "{misspelt}");
    }
}
