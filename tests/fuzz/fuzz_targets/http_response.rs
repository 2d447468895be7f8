//! Responses to a client: any pieces of one are understood as the whole is, within bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trunkcast::limits::HTTP_RESPONSE_BODY_BYTES;
use trunkcast::wire::http_response::{Response, ResponseFault, ResponseReader};
use trunkcast_fuzz::Choices;

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices::new(data);
    let size = usize::from(choices.byte()) + 1;
    let bytes = choices.rest();
    let (mut whole, mut pieces) = (read(bytes, usize::MAX), read(bytes, size));
    // Whether something follows the response is known only to who has it.
    for response in [&mut whole, &mut pieces].into_iter().flatten() {
        assert!((200..1_000).contains(&response.status));
        assert!(response.body.len() <= bytes.len().min(HTTP_RESPONSE_BODY_BYTES));
        response.keep_alive = false;
    }
    assert_eq!(pieces, whole);
});

/// The first response of a server that sends pieces of `size` and then closes the connection.
fn read(bytes: &[u8], size: usize) -> Result<Response, ResponseFault> {
    let mut reader = ResponseReader::default();
    for piece in bytes.chunks(size) {
        if let Some(response) = reader.push(piece)? {
            return Ok(response);
        }
    }
    reader.end()
}
