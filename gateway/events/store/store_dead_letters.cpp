// The part of the store that works on dead letters. What may be many is done in slices, each a commit with others.

#include <algorithm>
#include <memory>
#include <utility>

#include "gateway/events/store/core.hpp"

namespace rouse::gateway::events {
namespace {

constexpr std::int64_t slice_rows = 64;
constexpr std::chrono::milliseconds slice_time{4};

/// A purge or redrive on its way through its slices.
struct walk {
  dead_letter_choice choice;
  std::optional<stream_id> external_to;
  bool remove_only = true;
  std::int64_t after = 0;
  std::int64_t last = -1;  ///< the newest when it began: what comes meanwhile is not its business
  redriven total;
};

/// What one slice did; counts only once it is committed.
struct slice_result {
  redriven total;
  std::int64_t after = 0;
  std::int64_t last = 0;
  bool more = false;
};

void skip(redriven& total, const std::string& why) {
  ++total.skipped;
  if (total.first_problem.empty()) total.first_problem = why;
}

/// Nothing when it went; else why not.
std::optional<std::string> deliver(tables& on, const dead_letter_table::found& found,
                                   const std::optional<stream_id>& external_to, wall_time now) {
  const auto& letter = found.letter;
  if (letter.kind == dead_letter_kind::invocation) {
    invocation_id id;
    id.seq = letter.seq;
    std::copy_n(found.random.begin(), std::min(found.random.size(), id.random.size()), id.random.begin());
    on.invocations.redrive(letter, id, now);
    return std::nullopt;
  }
  store_result<void> went;
  if (letter.kind == dead_letter_kind::external && external_to) {
    went = on.streams.append_external(*external_to, letter.blob, now);
  } else {
    const auto consumer = on.streams.find_consumer(letter.owner);
    if (!consumer) return "there is no trigger " + letter.owner + " any more";
    went = on.streams.append_for(*consumer, letter.blob, now);
  }
  if (!went) return went.error().text;
  return std::nullopt;
}

void work_on(tables& on, const walk& of, std::int64_t id, redriven& total, wall_time now) {
  if (!of.remove_only) {
    const auto found = on.dead_letters.show(id);
    if (!found) return;
    if (const auto why = deliver(on, *found, of.external_to, now)) return skip(total, *why);
  }
  if (on.dead_letters.remove(id)) ++total.moved;
}

store_result<slice_result> run_slice(tables& on, const walk& of, wall_time now) {
  slice_result out;
  out.total = of.total;
  out.after = of.after;
  out.last = of.last >= 0 ? of.last : on.dead_letters.newest();
  const auto until = std::chrono::steady_clock::now() + slice_time;
  const auto ids = on.dead_letters.ids().next(of.choice, of.after, out.last, slice_rows);
  for (const std::int64_t id : ids) {
    work_on(on, of, id, out.total, now);
    out.after = id;
    if (std::chrono::steady_clock::now() >= until) break;
  }
  out.more = !ids.empty();
  return out;
}

void next_slice(store_core& core, const std::shared_ptr<walk>& of, const completion<redriven>& done) {
  core.change<slice_result>(
      0, false, [of](tables& on, wall_time now) { return run_slice(on, *of, now); },
      [&core, of, done](const store_result<slice_result>& slice) {
        if (!slice) return done(slice.error());
        of->total = slice->total;
        of->after = slice->after;
        of->last = slice->last;
        if (slice->more) return next_slice(core, of, done);
        done(of->total);
      });
}

}  // namespace

void store::keep_dead_letter(std::string owner, std::string meta, std::string blob, failure_note why,
                             completion<std::int64_t> done) {
  const std::size_t bytes = meta.size() + blob.size();
  core_->change<std::int64_t>(
      bytes, true,
      [owner = std::move(owner), meta = std::move(meta), blob = std::move(blob), why = std::move(why)](
          tables& on, wall_time now) -> store_result<std::int64_t> {
        dead_letter_table::content what;
        what.kind = dead_letter_kind::external;
        what.owner = owner;
        what.created = now;
        what.meta = meta;
        what.data = blob;
        return on.dead_letters.keep(what, why, now);
      },
      std::move(done));
}

void store::dead_letters(std::string owner, std::int64_t after, std::size_t max_count,
                         completion<std::vector<dead_letter>> done) {
  core_->ask<std::vector<dead_letter>>(
      [owner = std::move(owner), after, max_count](queries& of) { return of.dead_letters(owner, after, max_count); },
      std::move(done));
}

void store::show_dead_letter(std::int64_t id, completion<dead_letter> done) {
  core_->ask<dead_letter>([id](queries& of) { return of.show_dead_letter(id); }, std::move(done));
}

void store::purge(dead_letter_choice choice, completion<std::size_t> done) {
  auto of = std::make_shared<walk>();
  of->choice = std::move(choice);
  next_slice(*core_, of, [done](const store_result<redriven>& result) {
    if (!result) return done(result.error());
    done(result->moved);
  });
}

void store::redrive(dead_letter_choice choice, std::optional<stream_id> external_to, completion<redriven> done) {
  auto of = std::make_shared<walk>();
  of->choice = std::move(choice);
  of->external_to = external_to;
  of->remove_only = false;
  next_slice(*core_, of, done);
}

}  // namespace rouse::gateway::events
