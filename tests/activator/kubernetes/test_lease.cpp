#include <catch2/catch.hpp>

#include "activator/backend/kubernetes/lease.hpp"

using namespace std::chrono_literals;
using namespace rouse::kubernetes;
using step = lease_book::step;

namespace {

const lease_book::time_point t0{};
const lease_book::wall clock0{};

lease_record of(const std::string& holder, const std::string& version, const std::string& renewed = "t") {
  lease_record out;
  out.holder = holder;
  out.seconds = 15;
  out.renewed = renewed;
  out.version = version;
  out.transitions = 4;
  return out;
}

step what(const lease_book& book, lease_book::time_point now) {
  return book.next_step(now, clock0).what;
}

}  // namespace

TEST_CASE("a Lease is made, renewed and given back") {
  lease_book book("me");
  CHECK(what(book, t0) == step::read);
  book.read(std::nullopt, t0);
  auto next = book.next_step(t0, clock0);
  REQUIRE(next.what == step::create);
  CHECK(next.record.holder == "me");
  CHECK(next.record.seconds == 15);
  CHECK_FALSE(book.holds(t0));
  book.wrote(next.record, "1", t0);
  CHECK(book.holds(t0));
  CHECK(what(book, t0 + 4s) == step::wait);
  next = book.next_step(t0 + 5s, clock0);
  REQUIRE(next.what == step::update);
  CHECK(next.record.version == "1");
  CHECK(next.record.transitions == 0);
  book.wrote(next.record, "2", t0 + 5s);
  CHECK(book.holds(t0 + 14s));
  const auto back = book.release(clock0);
  REQUIRE(back);
  CHECK(back->holder.empty());
  CHECK(back->version == "2");
}

TEST_CASE("who cannot renew stops to act before others may think so, and goes on when it can") {
  lease_book book("me");
  book.read(of("", "1"), t0);
  auto next = book.next_step(t0, clock0);
  REQUIRE(next.what == step::update);
  book.wrote(next.record, "2", t0);
  book.failed(t0 + 5s, 1s);
  CHECK(what(book, t0 + 5s) == step::wait);
  CHECK(book.next_step(t0 + 5s, clock0).at == t0 + 6s);
  CHECK(what(book, t0 + 6s) == step::read);
  CHECK(book.holds(t0 + 9s));
  CHECK_FALSE(book.holds(t0 + 10s));
  CHECK_FALSE(book.is_others());
  CHECK_FALSE(book.release(clock0));
  book.read(of("me", "2"), t0 + 600s);
  CHECK(what(book, t0 + 600s) == step::update);
  book.wrote(of("me", "2"), "3", t0 + 600s);
  CHECK(book.holds(t0 + 600s));
}

TEST_CASE("another's Lease is waited for by this clock, from when it was seen to change") {
  lease_book book("me");
  book.read(of("other", "1", "long ago"), t0);
  CHECK(book.is_others());
  CHECK(book.holder() == "other");
  CHECK(what(book, t0) == step::wait);
  CHECK(what(book, t0 + 2s) == step::read);
  book.read(of("other", "2", "later"), t0 + 14s);
  CHECK(what(book, t0 + 15s) == step::wait);
  for (auto at = t0 + 16s; at < t0 + 29s; at += 2s) {
    CHECK(what(book, at) == step::read);
    book.read(of("other", "2", "later"), at);
  }
  CHECK(what(book, t0 + 28s) != step::update);
  const auto next = book.next_step(t0 + 29s, clock0);
  REQUIRE(next.what == step::update);
  CHECK(next.record.transitions == 5);
  CHECK(next.record.version == "2");
  // Somebody was quicker.
  book.conflicted();
  CHECK(what(book, t0 + 29s) == step::read);
  book.read(of("third", "3"), t0 + 29s);
  CHECK(what(book, t0 + 30s) == step::wait);
  CHECK_FALSE(book.holds(t0 + 30s));
}

TEST_CASE("what was given back, and what was its own, is taken at once") {
  lease_book book("me");
  book.read(of("other", "1"), t0);
  book.read(of("", "2"), t0 + 2s);
  CHECK(what(book, t0 + 2s) == step::update);
  lease_book again("me");
  again.read(of("me", "7"), t0);
  const auto next = again.next_step(t0, clock0);
  REQUIRE(next.what == step::update);
  CHECK(next.record.transitions == 4);
}

TEST_CASE("who finds another in its place does not act any more") {
  lease_book book("me");
  book.read(std::nullopt, t0);
  book.wrote(of("me", ""), "1", t0);
  book.conflicted();
  book.read(of("other", "2"), t0 + 5s);
  CHECK_FALSE(book.holds(t0 + 5s));
  CHECK(book.is_others());
  // A Lease that somebody deleted is made anew.
  book.read(std::nullopt, t0 + 7s);
  CHECK_FALSE(book.is_others());
  CHECK(what(book, t0 + 7s) == step::create);
}

TEST_CASE("a Lease as JSON") {
  auto record = of("me", "5", "2026-01-01T00:00:00.000000Z");
  const auto text = write_lease(record, "rouse", "functions");
  CHECK(parse_lease(text) == record);
  CHECK(parse_lease(R"({"metadata":{"resourceVersion":"1"}})")->holder.empty());
  CHECK_FALSE(parse_lease("[]"));
  CHECK_FALSE(parse_lease("{"));
  CHECK(micro_time(std::chrono::system_clock::time_point(std::chrono::microseconds(1'000'000'000'000'007))) ==
        "2001-09-09T01:46:40.000007Z");
}
