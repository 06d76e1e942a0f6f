//! Requests that carry many items, with a bound on how many are read.
//!
//! An empty item takes two bytes on the wire and a hundred in memory. Items beyond the most that a
//! request may carry are skipped instead of kept, but for one, by which the server sees that there
//! are too many.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError,
    encoding::{self, DecodeContext, WireType},
};

use crate::{Payment, REQUEST_ITEMS_MAX, v1::NewAccount};

macro_rules! bounded_request {
    ($(#[$doc:meta])* $name:ident {
        $(#[$field_doc:meta])* $field:ident: $item:ty as $kind:ident
        $(, $(#[$text_doc:meta])* $text_tag:literal $text:ident)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Vec<$item>,
            $($(#[$text_doc])* pub $text: String,)*
        }

        impl prost::Message for $name {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                encoding::$kind::encode_repeated(1, &self.$field, buf);
                $(if !self.$text.is_empty() {
                    encoding::string::encode($text_tag, &self.$text, buf);
                })*
            }

            fn encoded_len(&self) -> usize {
                let texts = 0;
                $(let texts = texts + match self.$text.is_empty() {
                    true => 0,
                    false => encoding::string::encoded_len($text_tag, &self.$text),
                };)*
                encoding::$kind::encoded_len_repeated(1, &self.$field) + texts
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {
                if tag == 1 && self.$field.len() <= REQUEST_ITEMS_MAX {
                    return encoding::$kind::merge_repeated(wire_type, &mut self.$field, buf, ctx);
                }
                match tag {
                    $($text_tag => encoding::string::merge(wire_type, &mut self.$text, buf, ctx),)*
                    _ => encoding::skip_field(wire_type, tag, buf, ctx),
                }
            }

            fn clear(&mut self) {
                self.$field.clear();
                $(self.$text.clear();)*
            }
        }
    };
}

bounded_request!(
    /// A batch of payments.
    SubmitPaymentsRequest {
        /// At most [`REQUEST_ITEMS_MAX`], or one more if there were too many.
        payments: Payment as message
    }
);
bounded_request!(
    /// One message of a stream of payments.
    StreamPaymentsRequest {
        /// At most [`REQUEST_ITEMS_MAX`], or one more if there were too many.
        payments: Payment as message
    }
);
bounded_request!(
    /// Accounts to open.
    CreateAccountsRequest {
        /// At most [`REQUEST_ITEMS_MAX`], or one more if there were too many.
        accounts: NewAccount as message,
        /// Who asks; empty where nobody says.
        2 actor,
        /// Why.
        3 why
    }
);
bounded_request!(
    /// Accounts to read.
    GetAccountsRequest {
        /// At most [`REQUEST_ITEMS_MAX`], or one more if there were too many.
        account_ids: Bytes as bytes
    }
);

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn items_beyond_the_bound_are_skipped_but_for_one() {
        let request = |items: usize| {
            let encoded = [0x0a_u8, 0].repeat(items);
            SubmitPaymentsRequest::decode(&encoded[..]).expect("well-formed").payments.len()
        };
        assert_eq!(request(REQUEST_ITEMS_MAX), REQUEST_ITEMS_MAX);
        assert_eq!(request(REQUEST_ITEMS_MAX + 1), REQUEST_ITEMS_MAX + 1);
        assert_eq!(request(REQUEST_ITEMS_MAX * 100), REQUEST_ITEMS_MAX + 1);
    }

    #[test]
    fn requests_read_back() {
        let payment = Payment { payment_id: 7, amount_minor: Some(5), ..Payment::default() };
        let payments = SubmitPaymentsRequest { payments: vec![payment.clone(), payment] };
        let read = SubmitPaymentsRequest::decode(&payments.encode_to_vec()[..]);
        assert_eq!(read.expect("reads"), payments);
        let ids =
            GetAccountsRequest { account_ids: vec![Bytes::from_static(b"one"), Bytes::new()] };
        assert_eq!(GetAccountsRequest::decode(&ids.encode_to_vec()[..]).expect("reads"), ids);
        for (actor, why) in [("ann", "a new shop"), ("ann", ""), ("", "")] {
            let accounts = vec![NewAccount { code: 7, ..NewAccount::default() }];
            let (actor, why) = (actor.to_owned(), why.to_owned());
            let opening = CreateAccountsRequest { accounts, actor, why };
            let bytes = opening.encode_to_vec();
            assert_eq!(CreateAccountsRequest::decode(&bytes[..]).expect("reads"), opening);
            assert_eq!(bytes.len(), opening.encoded_len());
        }
    }
}
