//! The macros of saranwrap, which re-exports them.  What the code that they write does is not known here.

mod names;
mod derive;
mod signature;
mod wrap;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Make the values of a type usable from another process, by the public functions of this `impl` block.
///
/// For a type `Counter` it writes a proxy, `CounterProxy`, that has the same methods: each asks the process that the value is in,
/// and comes to a `Result` whose error is a `saranwrap::Fault`.  Functions without `self` take a `&saranwrap::Session` first: the
/// process that is to make the value.  Where there is a `new`, `CounterProxy::spawn` starts this program once more for one value.
///
/// * `Self` in a result is a proxy, wherever it stands; the value stays where it is.
/// * `&str`, `&[T]` and `&T` are sent as what they refer to.
/// * An `Err` is raised on the other side with its text, a `Fault::Raised` as the exception that it is, and so is a panic.
/// * A parameter of type `saranwrap::Here<Counter>` takes the proxy of a value that is in the same process as this one.
/// * Special methods of Python are written with their names: `pub fn __len__(&self) -> usize`.
///
/// A method that takes `&mut self` is refused while another one of the same value is under way, as that happens when it calls back.
#[proc_macro_attribute]
pub fn wrap(options: TokenStream, item: TokenStream) -> TokenStream {
    let block = parse_macro_input!(item as syn::ItemImpl);
    let options = proc_macro2::TokenStream::from(options);
    wrap::expand(&options, block).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make a type of what came from another process.
///
/// A struct with names takes the items of a dict, or the attributes of an object; one without takes the items of a sequence, or,
/// when it has but one field, is what that is.  An enum is the first of its variants that fits; one without fields is its name as a
/// text.  `#[remote(name = "x")]` gives a field another name there, `#[remote(default)]` says that it may be absent.
#[proc_macro_derive(FromRemote, attributes(remote))]
pub fn derive_from_remote(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    derive::from_remote(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Send a type to another process: a struct with names as a dict, one without as a tuple or as what its only field is, a variant as
/// what it holds, or as its name.  `#[remote(name = "x")]` gives a field another name there.
#[proc_macro_derive(IntoRemote, attributes(remote))]
pub fn derive_into_remote(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    derive::into_remote(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}
