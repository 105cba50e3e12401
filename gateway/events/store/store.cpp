#include "gateway/events/store/store.hpp"

#include <utility>

#include "gateway/events/store/core.hpp"

namespace rouse::gateway::events {
namespace {

// A row of SQLite holds a gigabyte; what is near that is refused before it can fail the group it is in.
constexpr std::size_t largest_payload = std::size_t{512} * 1024 * 1024;

store_error too_large(std::size_t bytes) {
  return {store_errc::limit, std::to_string(bytes) + " bytes are more than the store takes at once (512 MiB)"};
}

}  // namespace

boost::system::result<store, open_error> store::open(const std::string& directory, store_options options) {
  try {
    return store(std::make_unique<store_core>(directory, options));
  } catch (const open_error& error) {
    return error;
  }
}

store::store(std::unique_ptr<store_core> core) : core_(std::move(core)) {}
store::store(store&&) noexcept = default;
store::~store() = default;

// --- Streams ---

store_result<stream_id> store::stream(const std::string& name, std::chrono::milliseconds retention) {
  return core_->change_now<stream_id>(
      [&name, retention](tables& on, wall_time) { return on.streams.stream(name, retention); });
}

void store::on_growth(stream_id stream, std::function<void(std::int64_t)> callback) {
  core_->note(operation::kind::look, 0, [stream, callback = std::move(callback)](tables& on, wall_time) mutable {
    on.streams.on_growth(stream, std::move(callback));
  });
}

void store::append(stream_id stream, std::vector<std::string> blobs, completion<appended> done) {
  std::size_t bytes = 0;
  for (const auto& blob : blobs) bytes += blob.size() + 64;
  if (bytes > largest_payload) return done(too_large(bytes));
  core_->change<appended>(
      bytes, true,
      [stream, blobs = std::move(blobs)](tables& on, wall_time now) { return on.streams.append(stream, blobs, now); },
      std::move(done));
}

void store::read(stream_id stream, std::int64_t after, std::size_t max_count, std::size_t max_bytes,
                 completion<std::vector<record>> done) {
  core_->ask<std::vector<record>>([=](queries& of) { return of.read(stream, after, max_count, max_bytes); },
                                  std::move(done));
}

// --- Consumers ---

store_result<consumer_id> store::consumer(const std::string& name, stream_id stream, start_at start) {
  return core_->change_now<consumer_id>(
      [&name, stream, start](tables& on, wall_time) { return on.streams.consumer(name, stream, start); });
}

store_result<void> store::forget_consumer(const std::string& name) {
  return core_->change_now<void>([&name](tables& on, wall_time) { return on.streams.forget_consumer(name); });
}

store_result<std::vector<std::string>> store::consumers() {
  return core_->change_now<std::vector<std::string>>(
      [](tables& on, wall_time) { return store_result<std::vector<std::string>>(on.streams.consumers()); });
}

store_result<consumer_state> store::load(consumer_id consumer) {
  return core_->change_now<consumer_state>([consumer](tables& on, wall_time) { return on.streams.load(consumer); });
}

void store::settle(consumer_id consumer, std::vector<std::int64_t> seqs) {
  const std::size_t bytes = seqs.size() * sizeof(std::int64_t);
  core_->note(operation::kind::note, bytes, [consumer, seqs = std::move(seqs)](tables& on, wall_time) {
    for (const std::int64_t seq : seqs) on.streams.settle(consumer, {seq, seq});
  });
}

void store::settle_range(consumer_id consumer, seq_range range) {
  core_->note(operation::kind::note, 0,
              [consumer, range](tables& on, wall_time) { on.streams.settle(consumer, range); });
}

void store::retry(consumer_id consumer, std::int64_t seq, retry_state state) {
  const std::size_t bytes = state.last_error.size();
  core_->note(operation::kind::note, bytes, [consumer, seq, state = std::move(state)](tables& on, wall_time) mutable {
    on.streams.retry(consumer, seq, std::move(state));
  });
}

void store::give_up(consumer_id consumer, std::int64_t seq, failure_note why, completion<void> done) {
  core_->change<void>(
      why.last_error.size(), false,
      [consumer, seq, why = std::move(why)](tables& on, wall_time now) -> store_result<void> {
        const auto event = on.streams.give_up(consumer, seq);
        if (!event) return event.error();
        if (event->settled) return {};
        dead_letter_table::content what;
        what.owner = event->owner;
        what.seq = seq;
        what.created = event->created;
        what.data = event->blob;
        on.dead_letters.keep(what, why, now);
        return {};
      },
      std::move(done));
}

// --- Invocations ---

void store::on_queued(std::function<void(const std::string&)> callback) {
  core_->note(operation::kind::look, 0, [callback = std::move(callback)](tables& on, wall_time) mutable {
    on.invocations.on_queued(std::move(callback));
  });
}

void store::enqueue(new_invocation invocation, completion<enqueued> done) {
  const std::size_t bytes = invocation.meta.size() + invocation.body.size();
  if (bytes > largest_payload) return done(too_large(bytes));
  core_->change<enqueued>(
      bytes, true,
      [invocation = std::move(invocation)](tables& on, wall_time now) {
        return on.invocations.enqueue(invocation, now);
      },
      std::move(done));
}

// The writer chooses, because it knows what is running; the reader fetches what is large.
void store::take(const std::string& function, std::size_t max_count, std::size_t max_bytes, completion<taken> done,
                 std::function<bool(std::size_t)> admit) {
  auto fetch = [core = core_.get(), done](store_result<taken> chosen) {
    if (!chosen || chosen->invocations.empty()) return done(std::move(chosen));
    const auto put_back = [core, invocations = chosen->invocations] {
      if (core->closing()) return;
      for (const auto& one : invocations) {
        core->note(operation::kind::look, 0, [id = one.id](tables& on, wall_time) { on.invocations.put_back(id); });
      }
    };
    core->ask<taken>(
        [out = std::move(*chosen)](queries& of) mutable {
          of.fill(out.invocations);
          return std::move(out);
        },
        [done, put_back](store_result<taken> filled) {
          if (!filled) put_back();
          done(std::move(filled));
        });
  };
  core_->submit<taken>(
      operation::kind::look, 0, false,
      [function, max_count, max_bytes, admit = std::move(admit)](tables& on, wall_time now) -> store_result<taken> {
        return on.invocations.take(function, {max_count, max_bytes, admit}, now);
      },
      std::move(fetch));
}

bool store::is_wanted(const invocation_id& id) const {
  return core_->of_writer().is_taken(id.seq);
}

bool store::begin(const invocation_id& id) {
  return core_->of_writer().begin(id.seq);
}

void store::put_back(const invocation_id& id) {
  core_->note(operation::kind::look, 0, [id](tables& on, wall_time) { on.invocations.put_back(id); });
}

void store::finish(const invocation_id& id, invocation_end end, completion<void> done) {
  const std::size_t bytes = (end.response ? end.response->size() : 0) + end.error.size();
  if (bytes > largest_payload) return done(too_large(bytes));
  core_->change<void>(
      bytes, false,
      [id, end = std::move(end)](tables& on, wall_time now) { return on.invocations.finish(id, end, now); },
      std::move(done));
}

void store::retry(const invocation_id& id, invocation_retry retry, completion<void> done) {
  core_->change<void>(
      retry.error.size(), false,
      [id, retry = std::move(retry)](tables& on, wall_time now) { return on.invocations.retry(id, retry, now); },
      std::move(done));
}

void store::cancel(const invocation_id& id, std::chrono::milliseconds result_ttl, completion<void> done) {
  core_->change<void>(
      0, false, [id, result_ttl](tables& on, wall_time now) { return on.invocations.cancel(id, result_ttl, now); },
      std::move(done));
}

void store::look_up(const invocation_id& id, completion<invocation_status> done) {
  core_->ask<invocation_status>(
      [id, core = core_.get()](queries& of) {
        // First: what ends in between is then seen as ended.
        const bool running = core->of_writer().is_running(id.seq);
        auto status = of.look_up(id);
        if (status && running && status->state == invocation_state::queued) {
          status->state = invocation_state::running;
          status->next_attempt.reset();
        }
        return status;
      },
      std::move(done));
}

void store::due(completion<std::vector<queue_due>> done) {
  core_->ask<std::vector<queue_due>>([now = core_->of_writer().now()](queries& of) { return of.due(now); },
                                     std::move(done));
}

void store::response(const invocation_id& id, completion<std::string> done) {
  core_->ask<std::string>([id](queries& of) { return of.response(id); }, std::move(done));
}

// --- The rest ---

void store::usage(completion<store_usage> done) {
  core_->ask<store_usage>([](queries& of) { return of.usage(); }, std::move(done));
}

void store::flush(completion<void> done) {
  core_->change<void>(
      0, false, [](tables&, wall_time) -> store_result<void> { return {}; }, std::move(done));
}

void store::sweep(completion<void> done) {
  core_->of_writer().sweep(std::move(done));
}

std::size_t store::waiting_bytes() const {
  return core_->of_writer().waiting_bytes();
}

}  // namespace rouse::gateway::events
