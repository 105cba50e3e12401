// The one translation unit that holds Asio's and Beast's non-template code: every other file sees declarations only,
// which halves the time and memory that a compile takes.
#include <boost/asio/impl/src.hpp>
#include <boost/beast/src.hpp>
