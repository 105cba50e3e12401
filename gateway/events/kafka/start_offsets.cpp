#include "gateway/events/kafka/start_offsets.hpp"

#include <map>
#include <optional>
#include <set>
#include <span>

#include "gateway/events/kafka/offset_ledger.hpp"

namespace rouse::gateway::events {

namespace {

using std::chrono::milliseconds;

std::span<rd_kafka_topic_partition_t> all_of(const partition_list& list) {
  return {list->elems, static_cast<std::size_t>(list->cnt)};
}

std::string place(const rd_kafka_topic_partition_t& one) {
  return std::string(one.topic) + "/" + std::to_string(one.partition);
}

std::string_view metadata_of(const rd_kafka_topic_partition_t& one) {
  return {static_cast<const char*>(one.metadata), one.metadata_size};
}

/// Offsets by time: RD_KAFKA_OFFSET_BEGINNING and _END are times to the protocol, and answered with offsets. What
/// read_committed does not read yet is not before the end.
std::string ask_offsets(rd_kafka_t* client, const partition_list& list, std::int64_t logical, milliseconds timeout) {
  for (auto& one : all_of(list)) one.offset = logical;
  const auto failed = rd_kafka_offsets_for_times(client, list.get(), static_cast<int>(timeout.count()));
  if (failed) return words_of(failed, "", {});
  for (const auto& one : all_of(list)) {
    if (one.err) return place(one) + ": " + words_of(one.err, one.topic, {});
    if (one.offset < 0) return place(one) + ": the cluster does not say which offsets there are";
  }
  return {};
}

/// The number of partitions of a topic.
std::string ask_partitions(rd_kafka_t* client, const std::string& topic, milliseconds timeout, std::uint32_t& count) {
  const topic_ptr handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  if (!handle) return words_of(rd_kafka_last_error(), topic, {});
  const struct rd_kafka_metadata* metadata = nullptr;
  const auto failed = rd_kafka_metadata(client, 0, handle.get(), &metadata, static_cast<int>(timeout.count()));
  if (failed) return words_of(failed, topic, {});
  std::string out;
  if (metadata->topic_cnt < 1) {
    out = words_of(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, topic, {});
  } else if (metadata->topics[0].err) {
    out = words_of(metadata->topics[0].err, topic, {});
  } else {
    count = static_cast<std::uint32_t>(metadata->topics[0].partition_cnt);
  }
  rd_kafka_metadata_destroy(metadata);
  return out;
}

std::string ask_committed(rd_kafka_t* client, const partition_list& list, const std::string& group,
                          milliseconds timeout) {
  const auto failed = rd_kafka_committed(client, list.get(), static_cast<int>(timeout.count()));
  if (failed) return "the offsets of group " + group + " cannot be read: " + words_of(failed, group, {});
  for (const auto& one : all_of(list)) {
    if (one.err) return "the offset of " + place(one) + " cannot be read: " + words_of(one.err, one.topic, {});
  }
  return {};
}

/// What a group is known to have begun with in one topic.
struct topic_past {
  std::uint32_t partitions = 0;  ///< that there are now
  std::uint32_t known = 0;       ///< that there were when it began; 0: not known
  bool any_commit = false;
};

std::string ask_past(rd_kafka_t* client, const std::string& topic, const std::string& group, milliseconds timeout,
                     topic_past& out) {
  if (auto problem = ask_partitions(client, topic, timeout, out.partitions); !problem.empty()) return problem;
  auto list = new_partitions(out.partitions);
  for (std::uint32_t i = 0; i < out.partitions; ++i) add(list, topic, static_cast<std::int32_t>(i));
  if (auto problem = ask_committed(client, list, group, timeout); !problem.empty()) return problem;
  for (const auto& one : all_of(list)) {
    if (one.offset < 0) continue;
    out.any_commit = true;
    out.known = std::max(out.known, offset_ledger(one.offset, metadata_of(one)).partitions_known());
  }
  return {};
}

/// Of the first record that is not older; the end where there is none.
std::string ask_since(rd_kafka_t* client, const partition_extent& of, std::chrono::sys_time<milliseconds> since,
                      milliseconds timeout, std::int64_t& offset) {
  auto list = new_partitions(1);
  add(list, of.topic, of.partition);
  list->elems[0].offset = since.time_since_epoch().count();
  const auto failed = rd_kafka_offsets_for_times(client, list.get(), static_cast<int>(timeout.count()));
  const auto& one = list->elems[0];
  if (failed || one.err) return place(one) + ": " + words_of(failed ? failed : one.err, one.topic, {});
  offset = one.offset >= 0 ? one.offset : of.end;
  return {};
}

}  // namespace

answer_of<partition_extent> look_up_extents(rd_kafka_t* client, const partition_list& of, milliseconds timeout) {
  answer_of<partition_extent> out;
  const partition_list ends(rd_kafka_topic_partition_list_copy(of.get()));
  const partition_list firsts(rd_kafka_topic_partition_list_copy(of.get()));
  out.problem = ask_offsets(client, ends, RD_KAFKA_OFFSET_END, timeout);
  if (out.problem.empty()) out.problem = ask_offsets(client, firsts, RD_KAFKA_OFFSET_BEGINNING, timeout);
  if (!out.problem.empty()) return out;
  for (const auto& one : all_of(ends)) {
    const auto* const first = rd_kafka_topic_partition_list_find(firsts.get(), one.topic, one.partition);
    partition_extent extent;
    extent.topic = one.topic;
    extent.partition = one.partition;
    extent.end = one.offset;
    extent.first = first ? first->offset : 0;
    out.all.push_back(std::move(extent));
  }
  return out;
}

answer_of<partition_start> look_up_starts(rd_kafka_t* client, const partition_list& of, const topic_settings& settings,
                                          milliseconds timeout) {
  answer_of<partition_start> out;
  const partition_list committed(rd_kafka_topic_partition_list_copy(of.get()));
  out.problem = ask_committed(client, committed, settings.group, timeout);
  if (!out.problem.empty()) return out;
  auto extents = look_up_extents(client, of, timeout);
  out.problem = extents.problem;
  if (!out.problem.empty()) return out;
  std::map<std::string, topic_past, std::less<>> past;
  for (const auto& extent : extents.all) {
    const auto* const was = rd_kafka_topic_partition_list_find(committed.get(), extent.topic.c_str(), extent.partition);
    partition_start one;
    one.topic = extent.topic;
    one.partition = extent.partition;
    one.end = extent.end;
    one.committed = was && was->offset >= 0;
    if (one.committed) {
      one.offset = was->offset;
      one.metadata = std::string(metadata_of(*was));
      out.all.push_back(std::move(one));
      continue;
    }
    const auto [at, unknown] = past.try_emplace(extent.topic);
    if (unknown) out.problem = ask_past(client, extent.topic, settings.group, timeout, at->second);
    if (!out.problem.empty()) return out;
    const auto& topic = at->second;
    const bool is_new =
        topic.any_commit && (topic.known == 0 || static_cast<std::uint32_t>(extent.partition) >= topic.known);
    const bool from_first = is_new || settings.start == config::event_start::earliest;
    one.offset = from_first ? extent.first : extent.end;
    if (!from_first && settings.since) out.problem = ask_since(client, extent, *settings.since, timeout, one.offset);
    if (!out.problem.empty()) return out;
    one.partitions_known = topic.partitions;
    out.all.push_back(std::move(one));
  }
  return out;
}

std::string check_topics(rd_kafka_t* client, const std::vector<std::string>& topics, milliseconds timeout) {
  for (const auto& topic : topics) {
    std::uint32_t ignored = 0;
    if (auto problem = ask_partitions(client, topic, timeout, ignored); !problem.empty()) return problem;
  }
  return {};
}

}  // namespace rouse::gateway::events
