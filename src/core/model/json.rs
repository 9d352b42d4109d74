//! JSON serialisation of model values that serde does not support by itself.
//! Must not know: what is written, and why.

use serde::{de::Error as _, Deserialize, Deserializer, Serializer};

/// A shared text.
pub mod text {
    use super::*;
    use std::sync::Arc;

    pub fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// Bytes, written as text.
pub mod bytes {
    use super::*;
    use ::bytes::Bytes;

    pub fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&String::from_utf8_lossy(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from).map(Bytes::from)
    }
}

/// A number that may be NaN or infinite, which JSON cannot represent.
pub mod float {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Float {
        Number(f32),
        Word(String),
    }

    impl From<f32> for Float {
        fn from(number: f32) -> Self {
            match number.is_finite() {
                true => Self::Number(number),
                false => Self::Word(number.to_string()),
            }
        }
    }

    impl Float {
        pub fn number(self) -> Option<f32> {
            match self {
                Self::Number(number) => Some(number),
                Self::Word(word) => word.parse().ok(),
            }
        }
    }

    pub fn serialize<S: Serializer>(number: &f32, to: S) -> Result<S::Ok, S::Error> {
        Float::from(*number).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        Float::deserialize(from)?.number().ok_or_else(|| D::Error::custom("expected a number"))
    }
}

/// Speakers and their audio levels.
pub mod levels {
    use super::{float::Float, *};

    type Levels = Vec<(String, f32, bool)>;

    pub fn serialize<S: Serializer>(levels: &Levels, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(levels.iter().map(|(who, level, speaks)| (who, Float::from(*level), speaks)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Levels, D::Error> {
        let read = Vec::<(String, Float, bool)>::deserialize(from)?;
        let one = |(who, level, speaks): (String, Float, bool)| Some((who, level.number()?, speaks));
        let levels: Option<Levels> = read.into_iter().map(one).collect();
        levels.ok_or_else(|| D::Error::custom("expected a number"))
    }
}

/// The name of a protocol.
pub mod name {
    use super::*;

    pub fn serialize<S: Serializer>(name: &str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name)
    }

    /// Which protocol it was is not restored: no rule needs the name.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
        String::deserialize(from).map(|_| "of a trace")
    }
}
