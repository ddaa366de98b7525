//! The exports of a plugin's component. The attribute [`plugin`](crate::plugin) uses them.

/// Exports a type that implements [`Plugin`](crate::Plugin).
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty) => {
        const _: () = {
            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<
                    ::std::option::Option<$crate::__private::Instance<$plugin>>,
                > = const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            fn open(
                options: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                available: $crate::Available,
            ) -> ::std::result::Result<$crate::__private::manifest::Manifest, ::std::string::String>
            {
                let (instance, manifest) = $crate::__private::Instance::open(
                    ::std::env!("CARGO_PKG_NAME"),
                    ::std::env!("CARGO_PKG_VERSION"),
                    &options,
                    &available,
                )?;
                INSTANCE.set(::std::option::Option::Some(instance));
                ::std::result::Result::Ok(manifest)
            }

            fn with<T>(call: impl FnOnce(&mut $crate::__private::Instance<$plugin>) -> T) -> T {
                INSTANCE.with_borrow_mut(|instance| {
                    call(
                        instance
                            .as_mut()
                            .expect("Flowloom calls `open` before any other function"),
                    )
                })
            }

            struct Component;

            impl $crate::__private::feature::Guest for Component {
                fn open(
                    options: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    available: $crate::Available,
                ) -> ::std::result::Result<
                    $crate::__private::manifest::Manifest,
                    ::std::string::String,
                > {
                    open(options, available)
                }

                fn init(
                    flow: u64,
                    packet: $crate::__private::feature::Packet,
                    values: $crate::__private::feature::Values,
                ) -> $crate::__private::feature::Verdict {
                    with(|instance| instance.init(flow, &packet, &values))
                }

                fn update(
                    flow: u64,
                    packet: $crate::__private::feature::Packet,
                    values: $crate::__private::feature::Values,
                ) -> $crate::__private::feature::Verdict {
                    with(|instance| instance.update(flow, &packet, &values))
                }

                fn expire(
                    flow: u64,
                    values: $crate::__private::feature::Values,
                ) -> ::std::vec::Vec<$crate::__private::feature::Value> {
                    with(|instance| instance.expire(flow, &values))
                }

                fn finish() {
                    with(|instance| instance.finish());
                }
            }

            impl $crate::__private::batch_feature::Guest for Component {
                fn open(
                    options: ::std::vec::Vec<(::std::string::String, ::std::string::String)>,
                    available: $crate::Available,
                ) -> ::std::result::Result<
                    $crate::__private::manifest::Manifest,
                    ::std::string::String,
                > {
                    open(options, available)
                }

                fn process(
                    events: $crate::__private::batch_feature::Batch,
                ) -> ::std::vec::Vec<$crate::__private::batch_feature::OutputColumn> {
                    with(|instance| instance.process(events))
                }

                fn finish() {
                    with(|instance| instance.finish());
                }
            }

            // Without exports, the compiler would warn of unused code.
            #[cfg(not(target_family = "wasm"))]
            let _ = Component;

            #[cfg(target_family = "wasm")]
            $crate::__private::bindings::export_component!(
                Component with_types_in $crate::__private::bindings
            );
        };
    };
}
