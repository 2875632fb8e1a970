//! Kafka's protocol errors, one enum for wire, log, node, client and tools (Kafka class `Errors`). The rows are in
//! `table.rs`; what an error means for one particular request is decided where that request is served.

/// Makes the enum and its lookups from rows of `code, Variant, "NAME", retriable|fatal, "message";`.
macro_rules! errors {
    ($($code:literal, $variant:ident, $name:literal, $retry:ident, $message:literal;)*) => {
        /// A protocol error code of Kafka 4.3.1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = concat!("`", $name, "` (", stringify!($code), "): ", $message, ".")]
                $variant = $code,
            )*
        }

        impl Default for ErrorCode {
            fn default() -> Self {
                ErrorCode::None
            }
        }

        impl ErrorCode {
            /// Every error, in the order of the codes.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The error with this code on the wire, if Kafka 4.3.1 has one.
            pub const fn from_code(code: i16) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's constant, such as `UNKNOWN_TOPIC_OR_PARTITION`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// What it means, in a few words.
            pub const fn message(self) -> &'static str {
                match self { $(ErrorCode::$variant => $message,)* }
            }

            /// Whether Kafka's clients may send the same request again (Kafka class `RetriableException`).
            pub const fn is_retriable(self) -> bool {
                match self { $(ErrorCode::$variant => errors!(@$retry),)* }
            }
        }
    };
    (@retriable) => { true };
    (@fatal) => { false };
}

mod table;

pub use table::ErrorCode;

impl ErrorCode {
    /// The code on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether this is anything but [`ErrorCode::None`].
    pub const fn is_error(self) -> bool {
        self.code() != 0
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name(), self.message())
    }
}

impl std::error::Error for ErrorCode {}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> i16 {
        error.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, name and retriability as a real Kafka 4.3.1 gave them.
    const FACTS: &str = include_str!("facts.tsv");

    #[test]
    fn the_table_is_kafkas() {
        let facts: Vec<String> = FACTS.lines().map(str::to_string).collect();
        let ours: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|e| format!("{}\t{}\t{}", e.code(), e.name(), e.is_retriable()))
            .collect();
        assert_eq!(ours, facts);
    }

    #[test]
    fn codes_are_contiguous_and_lead_back() {
        for (i, error) in ErrorCode::ALL.iter().enumerate() {
            assert_eq!(error.code(), i as i16 - 1);
            assert_eq!(ErrorCode::from_code(error.code()), Some(*error));
        }
        let known = (i16::MIN..=i16::MAX)
            .filter(|c| ErrorCode::from_code(*c).is_some())
            .count();
        assert_eq!(known, ErrorCode::ALL.len());
    }

    #[test]
    fn it_says_name_and_meaning() {
        let text = ErrorCode::UnknownTopicOrPartition.to_string();
        assert_eq!(
            text,
            "UNKNOWN_TOPIC_OR_PARTITION: no such topic or partition on this broker"
        );
        assert!(!ErrorCode::default().is_error());
        for error in ErrorCode::ALL {
            assert!(
                !error.message().ends_with('.') && !error.message().is_empty(),
                "{error}"
            );
        }
    }
}
