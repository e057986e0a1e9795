//! What the two root types share.
//!
//! They are written by hand because a derived root type insists on `spec`, and a GameServer may come without one.

/// Implements [`kube_core::Resource`] and `new` for a namespaced root type of this API group.
macro_rules! custom_object {
    ($object:ident, $spec:ty, $kind:expr, $plural:literal) => {
        impl kube_core::Resource for $object {
            type DynamicType = ();
            type Scope = kube_core::NamespaceResourceScope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $crate::keys::GROUP.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $crate::keys::VERSION.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }

        impl $object {
            /// An object with this name and spec, in no namespace yet and without a status.
            pub fn new(name: &str, spec: $spec) -> Self {
                Self {
                    api_version: $crate::keys::API_VERSION.to_owned(),
                    kind: $kind.to_owned(),
                    metadata: ObjectMeta {
                        name: Some(name.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec,
                    status: None,
                }
            }
        }
    };
}

pub(crate) use custom_object;
