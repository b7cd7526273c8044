// HTTPVectorTable.swift: what each of llhttp's request vectors must give here, and the section of the RFC that
// says so. Each row: requests with the bytes of their bodies, then "more" (incomplete), "close" (nothing after it
// is read) or the refusal; after " / ", the same once the unfinished line is ended. A row ends early at a refusal.
// llhttp's lenient modes are refused: where RFC 9112 gives a choice, this server takes the stricter one.

let httpVectorTable: [String: (outcome: String, reason: String)] = [
  "connection 1": (
    "PUT /url 0",
    "9112 3 and 6: a valid request"
  ),
  "connection 2": (
    "PUT /url 0, PUT /url 0",
    "9112 3 and 6: a valid request"
  ),
  "connection 3": (
    "PUT /url 0, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 4": (
    "PUT /url 0, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 5": (
    "POST / 4, more / POST / 4, 400 host_missing",
    "9112 2.2: empty lines before a request line are ignored"
  ),
  "connection 6": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "connection 7": (
    "PUT /url 0, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 8": (
    "PUT /url 0, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 9": (
    "POST / 4, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 10": (
    "POST / 4, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 11": (
    "POST / 4, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "connection 12": (
    "PUT /url 0, close",
    "9112 9.6: close wins over keep-alive, and other tokens are ignored"
  ),
  "connection 13": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "connection 14": (
    "GET /demo 0, more / GET /demo 0, 400 bad_request_line",
    "9110 7.8: an Upgrade may be ignored; what follows is the next request"
  ),
  "connection 15": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "connection 16": (
    "400 space_before_colon",
    "9112 5.1: whitespace before the colon MUST give 400"
  ),
  "connection 17": (
    "400 space_before_colon",
    "9112 5.1: whitespace before the colon MUST give 400"
  ),
  "connection 18": (
    "PUT /url 0",
    "9110 7.8: an Upgrade may be ignored"
  ),
  "connection 19": (
    "PUT /url 4, more / PUT /url 4, 400 bad_request_line",
    "9110 7.8: an Upgrade may be ignored; the length still frames the body"
  ),
  "connection 20": (
    "GET /demo 0, more / GET /demo 0, 400 bad_request_line",
    "9110 7.8: an Upgrade may be ignored; what follows is the next request"
  ),
  "connection 21": (
    "POST /demo 15, more / POST /demo 15, 400 bad_request_line",
    "9110 7.8: an Upgrade may be ignored; the length still frames the body"
  ),
  "content-length 1": (
    "PUT /url 3",
    "9110 8.6: 1*DIGIT allows leading zeros"
  ),
  "content-length 2": (
    "PUT /url 3",
    "9110 8.6: 1*DIGIT allows leading zeros"
  ),
  "content-length 3": (
    "more / 413 body_too_large",
    "9110 8.6: a length beyond any integer must not overflow; 413"
  ),
  "content-length 4": (
    "more / 400 length_repeated",
    "9112 6.3: two Content-Length values MUST give 400"
  ),
  "content-length 5": (
    "400 length_and_encoding",
    "9112 6.3: both at once may be smuggling, and may be refused"
  ),
  "content-length 6": (
    "400 space_before_colon",
    "9112 5.1: whitespace before the colon MUST give 400"
  ),
  "content-length 7": (
    "400 space_before_colon",
    "9112 5.1: whitespace before the colon MUST give 400"
  ),
  "content-length 8": (
    "400 length_and_encoding",
    "9112 6.3: both at once may be smuggling, and may be refused"
  ),
  "content-length 9": (
    "GET /get_funky_content_length_body_hello 5, close",
    "9110 5.1: field names ignore case"
  ),
  "content-length 10": (
    "more / more",
    "9112 5.1: whitespace around a value is no part of it"
  ),
  "content-length 11": (
    "more / more",
    "9112 5.1: whitespace around a value is no part of it"
  ),
  "content-length 12": (
    "400 length_invalid",
    "9112 6.3: an invalid Content-Length MUST give 400"
  ),
  "content-length 13": (
    "400 length_invalid",
    "9112 6.3: an invalid Content-Length MUST give 400"
  ),
  "content-length 14": (
    "400 length_invalid",
    "9112 6.3: an invalid Content-Length MUST give 400"
  ),
  "content-length 15": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "content-length 16": (
    "more / more",
    "9112 6.2: the body has as many bytes as it says, whatever they look like"
  ),
  "content-length 17": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "content-length 18": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "finish 1": (
    "GET / 0",
    "9112 3 and 6: a valid request"
  ),
  "finish 2": (
    "more / more",
    "9112 8: an incomplete message is not served"
  ),
  "finish 3": (
    "more / 400 bad_field",
    "9112 8: an incomplete message is not served"
  ),
  "invalid 1": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "invalid 2": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "invalid 3": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "invalid 4": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "invalid 5": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 6": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "invalid 7": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 8": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 9": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 10": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "invalid 11": (
    "400 bad_field_name",
    "9110 5.1: a field name is a token"
  ),
  "invalid 12": (
    "400 bad_field_name",
    "9110 5.1: a field name is a token"
  ),
  "invalid 13": (
    "400 bad_field_name",
    "9110 5.1: a field name is a token"
  ),
  "invalid 14": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "invalid 15": (
    "400 bad_field",
    "9112 5: a field line has a colon"
  ),
  "invalid 16": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 17": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "invalid 18": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "invalid 19": (
    "more / 505 version_not_supported",
    "9110 15.6.6: a major version that is not ours gives 505"
  ),
  "invalid 20": (
    "more / 400 folded_field",
    "9112 2.2: whitespace between start line and first field is refused"
  ),
  "invalid 21": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "invalid 22": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "invalid 23": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "invalid 24": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "lenient-header-value-relaxed 1": (
    "400 control_byte",
    "9110 5.5: control bytes are invalid in a value"
  ),
  "lenient-header-value-relaxed 2": (
    "400 control_byte",
    "9110 5.5: control bytes are invalid in a value"
  ),
  "lenient-header-value-relaxed 3": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "lenient-header-value-relaxed 4": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "lenient-header-value-relaxed 5": (
    "400 folded_field",
    "9112 2.2: whitespace between start line and first field is refused"
  ),
  "lenient-headers 1": (
    "400 control_byte",
    "9110 5.5: control bytes are invalid in a value"
  ),
  "lenient-headers 2": (
    "GET /url 0, 400 control_byte",
    "9110 5.5: control bytes are invalid in a value"
  ),
  "lenient-headers 3": (
    "400 control_byte",
    "9110 5.5: control bytes are invalid in a value"
  ),
  "lenient-headers 4": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "lenient-version 1": (
    "505 version_not_supported",
    "9110 15.6.6: a major version that is not ours gives 505"
  ),
  "method 1": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 2": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 3": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 4": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 5": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 6": (
    "PATCH /file.txt 10",
    "9112 3 and 6: a valid request"
  ),
  "method 7": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 8": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 9": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 10": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 11": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "method 12": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "method 13": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "method 14": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
  "method 15": (
    "501 method_not_implemented",
    "9113 3.4: the preface of HTTP/2 is no method here"
  ),
  "method 16": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "pausing 1": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 2": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 3": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 4": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 5": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 6": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 7": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 8": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 9": (
    "POST / 3",
    "9112 3 and 6: a valid request"
  ),
  "pausing 10": (
    "PUT / 10",
    "9112 3 and 6: a valid request"
  ),
  "pausing 11": (
    "PUT / 10",
    "9112 3 and 6: a valid request"
  ),
  "pausing 12": (
    "PUT / 10",
    "9112 3 and 6: a valid request"
  ),
  "pausing 13": (
    "PUT / 10",
    "9112 3 and 6: a valid request"
  ),
  "pipelining 1": (
    "POST /aaa 3, PUT /bbb 4, more / POST /aaa 3, PUT /bbb 4, PATCH /ccc 5, 400 bare_lf",
    "9112 9.3.2: pipelined requests are taken in order; the third ends in a lone LF once completed"
  ),
  "sample 1": (
    "OPTIONS /url 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 2": (
    "HEAD /url 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 3": (
    "GET /test 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 4": (
    "GET /favicon.ico 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 5": (
    "GET /dumbpack 0",
    "9110 5.5: any visible byte may stand in a value"
  ),
  "sample 6": (
    "GET /get_no_headers_no_body/world 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 7": (
    "GET /get_one_header_no_body 0",
    "9112 3 and 6: a valid request"
  ),
  "sample 8": (
    "GET /test 0, close",
    "9112 9.6: nothing after the last request is read"
  ),
  "sample 9": (
    "GET /test 0",
    "9112 2.2: an empty line before a request line is ignored"
  ),
  "sample 10": (
    "400 bad_request_line",
    "9112 2.3: there is no request line without a version"
  ),
  "sample 11": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "sample 12": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "sample 13": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "sample 14": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "sample 15": (
    "GET /url 0",
    "9112 2.2: an empty line before a request line is ignored"
  ),
  "sample 16": (
    "GET / 0",
    "9110 5.5: bytes above 127 are opaque data"
  ),
  "sample 17": (
    "OPTIONS /url 0",
    "9110 5.5: bytes above 127 are opaque data"
  ),
  "sample 18": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "transfer-encoding 1": (
    "more / 400 bad_chunk",
    "9112 7.1: an empty line is no chunk size"
  ),
  "transfer-encoding 2": (
    "PUT /url 10",
    "9112 3 and 6: a valid request"
  ),
  "transfer-encoding 3": (
    "PUT /url 10",
    "9112 3 and 6: a valid request"
  ),
  "transfer-encoding 4": (
    "POST /post_chunked_all_your_base 30",
    "9112 3 and 6: a valid request"
  ),
  "transfer-encoding 5": (
    "POST /two_chunks_mult_zero_end 11",
    "9112 7.1: last-chunk is 1*(\"0\")"
  ),
  "transfer-encoding 6": (
    "POST /chunked_w_trailing_headers 11",
    "9112 7.1.2: trailers may be dropped"
  ),
  "transfer-encoding 7": (
    "more / POST /chunked_w_unicorns_after_length 11",
    "9112 7.1.1: unknown extensions MUST be ignored"
  ),
  "transfer-encoding 8": (
    "400 bad_chunk",
    "9112 7.1: not the grammar of a chunk"
  ),
  "transfer-encoding 9": (
    "400 bad_chunk",
    "9112 7.1: not the grammar of a chunk"
  ),
  "transfer-encoding 10": (
    "more / POST /chunked_w_unicorns_after_length 11",
    "9112 7.1.1: unknown extensions MUST be ignored, quoted ones too"
  ),
  "transfer-encoding 11": (
    "400 bad_chunk",
    "9112 7.1: not the grammar of a chunk"
  ),
  "transfer-encoding 12": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 13": (
    "400 length_and_encoding",
    "9112 6.3: both at once may be smuggling, and may be refused"
  ),
  "transfer-encoding 14": (
    "400 length_and_encoding",
    "9112 6.3: both at once may be smuggling, and may be refused"
  ),
  "transfer-encoding 15": (
    "400 length_and_encoding",
    "9112 6.3: both at once may be smuggling, and may be refused"
  ),
  "transfer-encoding 16": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 17": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 18": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 19": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 20": (
    "501 encoding_not_implemented",
    "9112 6.1: a coding that is not understood SHOULD give 501"
  ),
  "transfer-encoding 21": (
    "501 encoding_not_implemented",
    "9112 6.1: a coding that is not understood SHOULD give 501"
  ),
  "transfer-encoding 22": (
    "400 encoding_invalid",
    "9112 6.3: chunked is not the final coding: MUST give 400"
  ),
  "transfer-encoding 23": (
    "400 bad_chunk",
    "9112 7.1: an empty line is no chunk size"
  ),
  "transfer-encoding 24": (
    "400 bare_lf",
    "9112 2.2: taking a lone LF as a line end is a MAY that we decline"
  ),
  "transfer-encoding 25": (
    "400 folded_field",
    "9112 5.2: a folded field is refused with 400"
  ),
  "transfer-encoding 26": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "transfer-encoding 27": (
    "400 bare_cr",
    "9112 2.2: a bare CR is invalid"
  ),
  "transfer-encoding 28": (
    "400 bad_chunk",
    "9112 7.1: not the grammar of a chunk"
  ),
  "transfer-encoding 29": (
    "400 bad_chunk",
    "9112 7.1: not the grammar of a chunk"
  ),
  "transfer-encoding 30": (
    "400 bad_chunk",
    "9112 7.1: whitespace after a size belongs to an extension"
  ),
  "transfer-encoding 31": (
    "400 bad_chunk",
    "9112 7.1: whitespace after a size belongs to an extension"
  ),
  "uri 1": (
    "400 bad_target",
    "3986 3: not in the grammar of a URI; 9112 3.2: SHOULD give 400"
  ),
  "uri 2": (
    "GET /test.cgi?foo=bar?baz 0",
    "3986 3.4: \"?\" may stand in a query"
  ),
  "uri 3": (
    "GET /?hail=all 0",
    "9112 3.2.2: absolute form MUST be accepted; an empty path is \"/\""
  ),
  "uri 4": (
    "GET /?hail=all 0",
    "9112 3.2.2: absolute form MUST be accepted; an empty path is \"/\""
  ),
  "uri 5": (
    "400 bad_target",
    "3986 3: not in the grammar of a URI; 9112 3.2: SHOULD give 400"
  ),
  "uri 6": (
    "GET / 0",
    "9112 3.2.2: absolute form MUST be accepted; an empty path is \"/\""
  ),
  "uri 7": (
    "400 bad_target",
    "3986 2: bytes above 127 must be percent-encoded"
  ),
  "uri 8": (
    "400 bad_target",
    "9112 3.2: no target has a fragment"
  ),
  "uri 9": (
    "501 method_not_implemented",
    "9110 9.1: an unknown method SHOULD give 501"
  ),
  "uri 10": (
    "400 bad_target",
    "9110 4.2.4: user information in an http URI is to be refused"
  ),
  "uri 11": (
    "400 bad_request_line",
    "9112 3: an invalid request line SHOULD give 400"
  ),
]
