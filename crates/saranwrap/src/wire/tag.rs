//! The tags in use.  Those from [`LIST`] on are private; what stands after each tag is given with it.

/// A non-negative integer over 64 bits, as big-endian bytes.
pub const POS_BIGNUM: u64 = 2;
/// An integer below -2^64, as the big-endian bytes of `-1 - value`.
pub const NEG_BIGNUM: u64 = 3;
/// `[loan, [items]]`: an exact list by value, lent under the loan number.
pub const LIST: u64 = 21248;
/// `[loan, {key: value}]`: an exact dict by value, lent.
pub const DICT: u64 = 21249;
/// `[loan, [items]]`: an exact set by value, lent.
pub const SET: u64 = 21250;
/// `[loan, bytes]`: an exact bytearray by value, lent.
pub const BYTEARRAY: u64 = 21251;
/// `loan`: a container lent earlier in this chain (an alias, a cycle, or one going home).
pub const SAME: u64 = 21252;
/// `id`: an object of the receiver's table (a proxy going home).
pub const THEIRS: u64 = 21253;
/// `[id, class]`: an object of the sender's table, by reference, with the number of its class.
pub const MINE: u64 = 21254;
/// `number`: a class of the sender's.
pub const CLASS: u64 = 21255;
/// `[module, qualname]`: a class or function both sides have under this name.
pub const NAMED: u64 = 21256;
/// `[items]`: a frozenset.
pub const FROZENSET: u64 = 21257;
/// `[real, imaginary]`: a complex number.
pub const COMPLEX: u64 = 21258;
/// `null`: the ellipsis.
pub const ELLIPSIS: u64 = 21259;
/// `null`: "not implemented", the answer of an operator that does not know its operand.
pub const NOT_IMPLEMENTED: u64 = 21260;
/// `[start, stop, step]`: a slice.
pub const SLICE: u64 = 21261;
/// `[start, stop, step]`: a range.
pub const RANGE: u64 = 21262;
/// `bytes`: text with lone surrogates, which UTF-8 proper cannot carry.
pub const SURROGATES: u64 = 21263;
/// `[kind, state..]`: a standard value type (a date, a decimal, a path, an enum member), without pickle.
pub const KNOWN: u64 = 21264;
/// `[id, part..]`: an exception.
pub const EXCEPTION: u64 = 21265;
/// `[[file, function, line, end line, column, end column]..]`: a traceback.
pub const TRACEBACK: u64 = 21266;
/// `[loan, bytes]`: a pickle; from the parent to the child only, unless the user trusts the child.
pub const PICKLE: u64 = 21267;
/// `place`: in an answer, the immutable argument of the call that stood at this place; it keeps its identity.
pub const ARGUMENT: u64 = 21268;
/// `place`: in a change, the item that stood at this place before.
pub const MARKED: u64 = 21269;
/// `[id, class, value]`: like MINE, an instance of a subclass of an immutable built-in, with the value that it has as one.
pub const VALUED: u64 = 21270;
/// `callable`: in the answer to a callattr, what was not called, because it is for the asker to call.
pub const UNCALLED: u64 = 21271;
/// `place`: in a pipeline, what the step at this place came to.
pub const PROMISE: u64 = 21272;
/// `[owner, number, start, length]`: bytes in a block of the arena, in the place of a byte string.
pub const BLOCK: u64 = 21273;
/// `[order, format, item size, shape, bytes]`: what an object lends by the buffer protocol.
pub const BUFFER: u64 = 21274;
/// `[loan, [writable, order, type, shape, bytes]]`: an exact array of numpy by value, lent.
pub const NDARRAY: u64 = 21275;
/// `[loan, [kind, extension types, bytes]]`: columnar data of Arrow by value, as a stream of its interprocess format.
pub const ARROW: u64 = 21276;
/// `[left, value]`: in the answer to a path, what it had come to when so many names were left.
pub const PARTWAY: u64 = 21277;

/// Every private tag with its name, in order; `docs/protocol.md` is checked against it.
pub const NAMES: &[(u64, &str)] = &[
    (LIST, "LIST"),
    (DICT, "DICT"),
    (SET, "SET"),
    (BYTEARRAY, "BYTEARRAY"),
    (SAME, "SAME"),
    (THEIRS, "THEIRS"),
    (MINE, "MINE"),
    (CLASS, "CLASS"),
    (NAMED, "NAMED"),
    (FROZENSET, "FROZENSET"),
    (COMPLEX, "COMPLEX"),
    (ELLIPSIS, "ELLIPSIS"),
    (NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
    (SLICE, "SLICE"),
    (RANGE, "RANGE"),
    (SURROGATES, "SURROGATES"),
    (KNOWN, "KNOWN"),
    (EXCEPTION, "EXCEPTION"),
    (TRACEBACK, "TRACEBACK"),
    (PICKLE, "PICKLE"),
    (ARGUMENT, "ARGUMENT"),
    (MARKED, "MARKED"),
    (VALUED, "VALUED"),
    (UNCALLED, "UNCALLED"),
    (PROMISE, "PROMISE"),
    (BLOCK, "BLOCK"),
    (BUFFER, "BUFFER"),
    (NDARRAY, "NDARRAY"),
    (ARROW, "ARROW"),
    (PARTWAY, "PARTWAY"),
];
