//! What the typed structs of the kinds are made of. One declaration of a property, its name, its
//! Rust type and its [`Shape`], gives the field of the struct, its way into and out of an Automerge
//! document and JSON, and the row that [`validate`](super::validate::validate) and forms read.
//!
//! A struct is a *view* of a record's root map: it reads and writes its own properties and leaves
//! every other alone, so that an import keeps all it came with. Several views of one map coexist:
//! [`Common`](super::common::Common) and the one of the kind. An absent property is `None` or an
//! empty list; a view that is written back removes what it has no more, and touches nothing that
//! is already as it says. Foreign shapes (text where a number should be) are errors, never panics.

use automerge::{ObjId, ObjType, ScalarValue, Value};
use autosurgeon::hydrate::Unexpected;
use autosurgeon::reconcile::{LoadKey, MapReconciler};
use autosurgeon::{Hydrate, HydrateError, Prop, ReadDoc, Reconcile, ReconcileError, Reconciler};

use super::vocabulary::{Term, Vocabulary};

/// A property that a kind knows.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the document, in JSON and in STIX.
    pub name: &'static str,
    /// What it says, for help texts and forms.
    pub help: &'static str,
    /// What a native record may hold there.
    pub shape: Shape,
}

/// What a property may hold.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text that is not empty.
    Text,
    /// A text that follows a rule.
    Ruled(Rule),
    /// A number as it was read off a thing. It may be wrong and is kept all the same: what its bare form, in
    /// capitals, has against the rule is a doubt and no reason to refuse it.
    Seen(Rule),
    /// A word of a closed vocabulary.
    Word {
        /// What a word of it is: "a sex as documents state it".
        what: &'static str,
        /// The words.
        words: &'static [&'static str],
    },
    /// True or false.
    Flag,
    /// A whole number from 0 to this.
    Count(u64),
    /// A number between two bounds, both included.
    Number(f64, f64),
    /// A list of one or more values.
    List(&'static Self),
    /// A map with these properties.
    Group(&'static [Field]),
}

/// A rule for texts: the reason to refuse a text, with what to do about it.
pub type Rule = fn(&str) -> Result<(), String>;

impl Shape {
    /// A word of `V`.
    #[must_use]
    pub const fn word<V: Vocabulary>() -> Self {
        Self::Word { what: V::WHAT, words: V::WORDS }
    }

    /// Whether a number stands in it that was read off a thing.
    pub(super) fn is_seen(&self) -> bool {
        match self {
            Self::Seen(_) => true,
            Self::List(shape) => shape.is_seen(),
            Self::Group(fields) => fields.iter().any(|field| field.shape.is_seen()),
            _ => false,
        }
    }
}

/// A value that a property, or an item of a list, can have.
pub trait Part: Reconcile + Sized {
    /// Reads it from a document.
    fn read<D: ReadDoc>(doc: &D, value: &Value<'_>, id: &ObjId) -> Result<Self, HydrateError>;

    /// Whether a scalar of the document already says the same, so that it need not be written.
    #[must_use]
    fn is_same(&self, _scalar: &ScalarValue) -> bool {
        false
    }
}

/// A property of a view: there, or absent.
pub trait Property: Sized {
    /// Whether there is nothing to write.
    fn is_absent(&self) -> bool;

    /// Reads it from a map of a document.
    fn read<D: ReadDoc>(doc: &D, map: &ObjId, name: &str) -> Result<Self, HydrateError>;

    /// Writes it, if that changes anything.
    fn write<M: MapReconciler>(&self, map: &mut M, name: &str) -> Result<(), M::Error>;
}

impl<T: Part> Property for Option<T> {
    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn read<D: ReadDoc>(doc: &D, map: &ObjId, name: &str) -> Result<Self, HydrateError> {
        match present(doc, map, name)? {
            Some((value, id)) => T::read(doc, &value, &id).map(Some),
            None => Ok(None),
        }
    }

    fn write<M: MapReconciler>(&self, map: &mut M, name: &str) -> Result<(), M::Error> {
        let Some(part) = self else { return remove(map, name) };
        let same = map
            .entry(name)
            .is_some_and(|old| old.as_scalar().is_some_and(|scalar| part.is_same(scalar)));
        if same { Ok(()) } else { map.put(name, part) }
    }
}

impl<T: Part> Property for Vec<T> {
    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn read<D: ReadDoc>(doc: &D, map: &ObjId, name: &str) -> Result<Self, HydrateError> {
        let Some((value, id)) = present(doc, map, name)? else { return Ok(Self::new()) };
        if !matches!(value, Value::Object(ObjType::List)) {
            return unexpected("a list", &value);
        }
        (0..doc.length(&id))
            .map(|index| match doc.get(&id, index)? {
                Some((value, id)) => T::read(doc, &value, &id),
                None => Err(HydrateError::Unexpected(Unexpected::None)),
            })
            .collect()
    }

    fn write<M: MapReconciler>(&self, map: &mut M, name: &str) -> Result<(), M::Error> {
        if self.is_empty() { remove(map, name) } else { map.put(name, self.as_slice()) }
    }
}

impl Part for String {
    fn read<D: ReadDoc>(doc: &D, value: &Value<'_>, id: &ObjId) -> Result<Self, HydrateError> {
        match (value, value.as_scalar()) {
            (_, Some(ScalarValue::Str(text))) => Ok(text.to_string()),
            (Value::Object(ObjType::Text), _) => Ok(doc.text(id)?),
            _ => unexpected("a text", value),
        }
    }

    fn is_same(&self, scalar: &ScalarValue) -> bool {
        matches!(scalar, ScalarValue::Str(text) if text.as_str() == self)
    }
}

impl Part for bool {
    fn read<D: ReadDoc>(_: &D, value: &Value<'_>, _: &ObjId) -> Result<Self, HydrateError> {
        match value.as_scalar() {
            Some(ScalarValue::Boolean(flag)) => Ok(*flag),
            _ => unexpected("true or false", value),
        }
    }

    fn is_same(&self, scalar: &ScalarValue) -> bool {
        matches!(scalar, ScalarValue::Boolean(flag) if flag == self)
    }
}

impl Part for u64 {
    fn read<D: ReadDoc>(_: &D, value: &Value<'_>, _: &ObjId) -> Result<Self, HydrateError> {
        whole(value.as_scalar()).map_or_else(|| unexpected("a whole number from 0", value), Ok)
    }

    fn is_same(&self, scalar: &ScalarValue) -> bool {
        whole(Some(scalar)) == Some(*self)
    }
}

impl Part for f64 {
    fn read<D: ReadDoc>(_: &D, value: &Value<'_>, _: &ObjId) -> Result<Self, HydrateError> {
        finite(value.as_scalar()).map_or_else(|| unexpected("a number", value), Ok)
    }

    fn is_same(&self, scalar: &ScalarValue) -> bool {
        finite(Some(scalar)) == Some(*self)
    }
}

impl<V: Vocabulary> Part for Term<V> {
    fn read<D: ReadDoc>(doc: &D, value: &Value<'_>, id: &ObjId) -> Result<Self, HydrateError> {
        <String as Part>::read(doc, value, id).map(|text| Self::from(text.as_str()))
    }

    fn is_same(&self, scalar: &ScalarValue) -> bool {
        matches!(scalar, ScalarValue::Str(text) if text.as_str() == self.text())
    }
}

impl<V: Vocabulary> Reconcile for Term<V> {
    type Key<'a> = <String as Reconcile>::Key<'a>;

    fn reconcile<R: Reconciler>(&self, mut reconciler: R) -> Result<(), R::Error> {
        reconciler.str(self.text())
    }

    fn key(&self) -> LoadKey<Self::Key<'_>> {
        LoadKey::Found(self.text().into())
    }

    fn hydrate_key<'a, D: ReadDoc>(
        doc: &D,
        obj: &ObjId,
        prop: Prop<'_>,
    ) -> Result<LoadKey<Self::Key<'a>>, ReconcileError> {
        String::hydrate_key(doc, obj, prop)
    }
}

/// A property's value, unless it is absent or null, which is the same to a view.
fn present<'d, D: ReadDoc>(
    doc: &'d D,
    map: &ObjId,
    name: &str,
) -> Result<Option<(Value<'d>, ObjId)>, HydrateError> {
    Ok(doc.get(map, name)?.filter(|(value, _)| !is_null(value)))
}

fn remove<M: MapReconciler>(map: &mut M, name: &str) -> Result<(), M::Error> {
    let there = map.entry(name).is_some_and(|old| !is_null(&old));
    if there { map.delete(name) } else { Ok(()) }
}

fn is_null(value: &Value<'_>) -> bool {
    matches!(value.as_scalar(), Some(ScalarValue::Null))
}

fn whole(scalar: Option<&ScalarValue>) -> Option<u64> {
    match scalar? {
        ScalarValue::Uint(number) => Some(*number),
        ScalarValue::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn finite(scalar: Option<&ScalarValue>) -> Option<f64> {
    match scalar? {
        ScalarValue::F64(number) if number.is_finite() => Some(*number),
        ScalarValue::Int(number) => i32::try_from(*number).ok().map(f64::from),
        ScalarValue::Uint(number) => u32::try_from(*number).ok().map(f64::from),
        _ => None,
    }
}

/// The refusal of a value of a foreign shape.
pub(super) fn unexpected<T>(expected: &str, found: &Value<'_>) -> Result<T, HydrateError> {
    let found = match found {
        Value::Object(kind) => kind.to_string(),
        Value::Scalar(_) => "another scalar".to_owned(),
    };
    Err(HydrateError::unexpected(expected, found))
}

/// Reads a view from a map of a document.
pub(super) fn read_group<D: ReadDoc, T: Hydrate>(
    doc: &D,
    value: &Value<'_>,
    id: &ObjId,
) -> Result<T, HydrateError> {
    match value {
        Value::Object(ObjType::Map) => T::hydrate_map(doc, id),
        _ => unexpected("a map", value),
    }
}

/// Declares a view: `/// help` `name: Type = shape,` for each property, with `as "name"` where the
/// property's name is no Rust name.
macro_rules! view {
    ($(#[$doc:meta])* $view:ident {
        $($(#[doc = $help:literal])+
        $field:ident $(as $name:literal)?: $type:ty = $shape:expr,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
        #[serde(default)]
        pub struct $view {
            $(
                $(#[doc = $help])+
                $(#[serde(rename = $name)])?
                #[serde(skip_serializing_if = "crate::record::schema::Property::is_absent")]
                pub $field: $type,
            )+
        }

        impl $view {
            /// The properties of this view, in order.
            pub const FIELDS: &'static [crate::record::schema::Field] = &[$(
                crate::record::schema::Field {
                    name: crate::record::schema::name_of!($field $($name)?),
                    help: concat!($($help),+),
                    shape: $shape,
                },
            )+];
        }

        impl autosurgeon::Reconcile for $view {
            type Key<'a> = autosurgeon::reconcile::NoKey;

            fn reconcile<R: autosurgeon::Reconciler>(&self, mut to: R) -> Result<(), R::Error> {
                let mut map = to.map()?;
                $(crate::record::schema::Property::write(
                    &self.$field,
                    &mut map,
                    crate::record::schema::name_of!($field $($name)?),
                )?;)+
                Ok(())
            }
        }

        impl autosurgeon::Hydrate for $view {
            fn hydrate_map<D: autosurgeon::ReadDoc>(
                doc: &D,
                map: &automerge::ObjId,
            ) -> Result<Self, autosurgeon::HydrateError> {
                Ok(Self {$(
                    $field: crate::record::schema::Property::read(
                        doc,
                        map,
                        crate::record::schema::name_of!($field $($name)?),
                    )?,
                )+})
            }
        }

        impl crate::record::schema::Part for $view {
            fn read<D: autosurgeon::ReadDoc>(
                doc: &D,
                value: &automerge::Value<'_>,
                id: &automerge::ObjId,
            ) -> Result<Self, autosurgeon::HydrateError> {
                crate::record::schema::read_group(doc, value, id)
            }
        }
    };
}

/// A property's name: the one given, else the field's.
macro_rules! name_of {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

pub(super) use {name_of, view};
