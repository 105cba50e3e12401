#include "activator/status.hpp"

#include <algorithm>
#include <iterator>

namespace rouse::activator {
namespace {

template <typename List>
void append(List& to, List&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

/// Two lives of one name, of which one takes the other's place: their sums, and the words of the one that serves.
void merge(revision_status& into, revision_status more) {
  if (into.role != "serving" && more.role == "serving") std::swap(into, more);
  into.parked += more.parked;
  into.in_flight += more.in_flight;
  into.desired += more.desired;
  if (into.why.empty()) into.why = more.why;
  if (into.failure.empty()) into.failure = more.failure;
  append(into.runtimes, std::move(more.runtimes));
  append(into.instances, std::move(more.instances));
  append(into.decisions, std::move(more.decisions));
  std::ranges::stable_sort(into.decisions, [](const auto& a, const auto& b) { return a.at > b.at; });
  if (into.decisions.size() > 10) into.decisions.resize(10);
  for (const auto& [key, count] : more.decision_counts) into.decision_counts[key] += count;
  for (const auto& [reason, count] : more.start_failures) into.start_failures[reason] += count;
  into.ejections += more.ejections;
  into.thaws += more.thaws;
  into.cold_starts += more.cold_starts;
  into.cold_start_sum_ns += more.cold_start_sum_ns;
  for (std::size_t i = 0; i < into.cold_start_buckets.size() && i < more.cold_start_buckets.size(); ++i) {
    into.cold_start_buckets[i] += more.cold_start_buckets[i];
  }
}

}  // namespace

void function_status::add(revision_status more) {
  parked += more.parked;
  in_flight += more.in_flight;
  const auto known = std::ranges::find(revisions, more.revision, &revision_status::revision);
  if (known == revisions.end()) {
    revisions.push_back(std::move(more));
  } else {
    merge(*known, std::move(more));
  }
}

}  // namespace rouse::activator
