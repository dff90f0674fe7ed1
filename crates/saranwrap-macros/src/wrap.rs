//! What `#[wrap]` writes: how the methods are called, and a proxy that asks for them.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, Result, Type, Visibility};

use crate::names::documentation;
use crate::signature::{Receiver, Signature};

/// A function that is to be used from another process.
struct Function<'a> {
    item: &'a ImplItemFn,
    name: &'a Ident,
    signature: Signature,
}

/// The block itself, and what belongs to it.
pub(crate) fn expand(options: &TokenStream, block: ItemImpl) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new_spanned(options, "`wrap` takes no options"));
    }
    let own = own_name(&block)?;
    let proxy = format_ident!("{own}Proxy");
    let functions = block
        .items
        .iter()
        .filter_map(public)
        .map(|item| Ok(Function { item, name: &item.sig.ident, signature: Signature::of(item, &own, &proxy)? }));
    let functions = functions.collect::<Result<Vec<_>>>()?;
    let served = served(&block, &own, &proxy, &functions);
    let proxies = proxies(&own, &proxy, &functions);
    Ok(quote! { #block #served #proxies })
}

/// The type's own name.
fn own_name(block: &ItemImpl) -> Result<Ident> {
    if let Some((of, _)) = &block.trait_ {
        return Err(Error::new_spanned(of, "`wrap` belongs on the type's own `impl` block, not on that of a trait"));
    }
    if let Some(parameter) = block.generics.params.first() {
        let text = "a type whose values are used from another process has no parameters: it has to be known here";
        return Err(Error::new_spanned(parameter, text));
    }
    match &*block.self_ty {
        Type::Path(path) if path.qself.is_none() && path.path.get_ident().is_some() => {
            path.path.require_ident().cloned()
        }
        other => Err(Error::new_spanned(other, "`wrap` wants the plain name of a type")),
    }
}

/// A function that others than the type itself may call.
fn public(item: &ImplItem) -> Option<&ImplItemFn> {
    match item {
        ImplItem::Fn(function) if !matches!(function.vis, Visibility::Inherited) => Some(function),
        _ => None,
    }
}

/// `impl Wrapped`, and how a value of the type is given out.
fn served(block: &ItemImpl, own: &Ident, proxy: &Ident, functions: &[Function<'_>]) -> TokenStream {
    let name = own.to_string();
    let doc = documentation(&block.attrs);
    let methods = functions.iter().map(described);
    let make = dispatch(own, functions, Receiver::None, &quote!(make), &quote!());
    let read = dispatch(own, functions, Receiver::Shared, &quote!(read), &quote!(&self,));
    let change = dispatch(own, functions, Receiver::Exclusive, &quote!(change), &quote!(&mut self,));
    quote! {
        #[automatically_derived]
        impl ::saranwrap::Wrapped for #own {
            type Proxy = #proxy;

            const CLASS: &'static ::saranwrap::remote::Class = &::saranwrap::remote::Class {
                module: ::std::module_path!(),
                name: #name,
                doc: #doc,
                methods: &[#(#methods),*],
            };

            #make
            #read
            #change
        }

        #[automatically_derived]
        impl ::saranwrap::IntoRemote for #own {
            fn into_remote(
                self,
                out: &mut ::saranwrap::remote::Encoder<'_>,
            ) -> ::std::result::Result<(), ::saranwrap::Fault> {
                out.own(&::saranwrap::remote::Own::wrap(self));
                ::std::result::Result::Ok(())
            }
        }
    }
}

/// The function that calls one of those with this receiver, by its name.
fn dispatch(
    own: &Ident,
    functions: &[Function<'_>],
    receiver: Receiver,
    named: &TokenStream,
    this: &TokenStream,
) -> TokenStream {
    let arms = functions.iter().filter(|function| function.signature.receiver == receiver).map(called);
    let own = own.to_string();
    quote! {
        #[allow(unused_mut, unused_variables)]
        fn #named(
            #this
            function: &str,
            mut args: ::saranwrap::Args,
            out: &mut ::saranwrap::remote::Encoder<'_>,
        ) -> ::std::result::Result<(), ::saranwrap::Fault> {
            match function {
                #(#arms)*
                other => ::std::result::Result::Err(::saranwrap::Fault::raise(
                    "AttributeError",
                    ::std::format!("'{}' has no attribute '{other}'", #own),
                )),
            }
        }
    }
}

/// A function as the other side is told of it.
fn described(function: &Function<'_>) -> TokenStream {
    let (name, doc, parameters) =
        (spelt(function.name), documentation(&function.item.attrs), function.signature.text());
    let access = match function.signature.receiver {
        Receiver::None => quote!(Make),
        Receiver::Shared => quote!(Read),
        Receiver::Exclusive => quote!(Change),
    };
    quote! {
        ::saranwrap::remote::Method {
            name: #name,
            doc: #doc,
            parameters: #parameters,
            access: ::saranwrap::remote::Access::#access,
        }
    }
}

/// An arm that calls it.
fn called(function: &Function<'_>) -> TokenStream {
    let (name, text) = (function.name, spelt(function.name));
    let parameters = &function.signature.parameters;
    let taken = parameters.iter().map(|parameter| {
        let (name, text, owned) = (&parameter.name, spelt(&parameter.name), &parameter.owned);
        quote! { let #name: #owned = args.take(#text)?; }
    });
    let given = parameters.iter().map(|parameter| parameter.given());
    let this = if function.signature.receiver == Receiver::None { quote!() } else { quote!(self,) };
    quote! {
        #text => {
            #(#taken)*
            args.finish()?;
            ::saranwrap::IntoRemote::into_remote(Self::#name(#this #(#given),*), out)
        }
    }
}

/// The proxy.
fn proxies(own: &Ident, proxy: &Ident, functions: &[Function<'_>]) -> TokenStream {
    let about = format!("Stands for a [`{own}`] in another process.");
    let methods = functions.iter().map(|function| asked(own, function));
    let spawn = functions
        .iter()
        .find(|function| function.name == "new" && function.signature.receiver == Receiver::None)
        .map(spawned);
    quote! {
        #[doc = #about]
        #[derive(::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq)]
        pub struct #proxy(::saranwrap::Proxy);

        #[allow(dead_code, missing_docs)]
        impl #proxy { #spawn #(#methods)* }

        #[automatically_derived]
        impl ::std::convert::From<::saranwrap::Proxy> for #proxy {
            fn from(proxy: ::saranwrap::Proxy) -> Self {
                Self(proxy)
            }
        }

        #[automatically_derived]
        impl ::saranwrap::Object for #proxy {
            fn proxy(&self) -> ::std::result::Result<::std::borrow::Cow<'_, ::saranwrap::Proxy>, ::saranwrap::Fault> {
                ::std::result::Result::Ok(::std::borrow::Cow::Borrowed(&self.0))
            }
        }

        #[automatically_derived]
        impl ::saranwrap::FromRemote for #proxy {
            fn from_remote(value: ::saranwrap::Value) -> ::std::result::Result<Self, ::saranwrap::Fault> {
                ::saranwrap::FromRemote::from_remote(value).map(Self)
            }
        }

        #[automatically_derived]
        impl ::saranwrap::IntoRemote for #proxy {
            fn into_remote(
                self,
                out: &mut ::saranwrap::remote::Encoder<'_>,
            ) -> ::std::result::Result<(), ::saranwrap::Fault> {
                out.proxy(&self.0)
            }
        }

        #[automatically_derived]
        impl ::saranwrap::IntoRemote for &#proxy {
            fn into_remote(
                self,
                out: &mut ::saranwrap::remote::Encoder<'_>,
            ) -> ::std::result::Result<(), ::saranwrap::Fault> {
                out.proxy(&self.0)
            }
        }
    }
}

/// A method that asks for the function.
fn asked(own: &Ident, function: &Function<'_>) -> TokenStream {
    let Function { item, name, signature } = function;
    let docs = item.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let text = spelt(name);
    let names: Vec<_> = signature.parameters.iter().map(|parameter| &parameter.name).collect();
    let types = signature.parameters.iter().map(|parameter| parameter.asked());
    let result = &signature.result;
    let (this, object) = if signature.receiver == Receiver::None {
        let own = own.to_string();
        (quote!(place: &::saranwrap::Session), quote!(place.wrap_module(#own)?))
    } else {
        (quote!(&self), quote!(self.0))
    };
    quote! {
        #(#docs)*
        pub fn #name(#this, #(#names: #types),*) -> ::std::result::Result<#result, ::saranwrap::Fault> {
            ::saranwrap::FromRemote::from_remote(
                ::saranwrap::Object::call_method(&#object, #text, (#(#names,)*))?
            )
        }
    }
}

/// A value in a process of its own: this program once more.
fn spawned(new: &Function<'_>) -> TokenStream {
    let names: Vec<_> = new.signature.parameters.iter().map(|parameter| &parameter.name).collect();
    let types = new.signature.parameters.iter().map(|parameter| parameter.asked());
    let result = &new.signature.result;
    quote! {
        /// Start this program once more, and make a value there by `new`.  The process ends when the last proxy of it is gone.
        ///
        /// The program has to serve when it finds itself a child: see `saranwrap::Offer::serve_if_child`.
        pub fn spawn(#(#names: #types),*) -> ::std::result::Result<#result, ::saranwrap::Fault> {
            Self::new(&::saranwrap::Program::this()?.spawn()?, #(#names),*)
        }
    }
}

/// An identifier without the mark of a raw one.
fn spelt(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}
