// The stages of `trace`: the texts go through the model batch by batch while an observer writes what it sees; then the
// text is continued where that is wanted, and the manifest says what all of it is.
#include "lexiscope/trace.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "host/analysis/library_versions.h"
#include "host/analysis/trace_arrays.h"
#include "host/analysis/trace_generate.h"
#include "host/analysis/trace_observer.h"
#include "host/core/control.h"
#include "host/core/memory_limit.h"
#include "host/core/require.h"
#include "host/io/embedding_source.h"

namespace lexiscope {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

json identity(const Model& model, const TraceSizes& sizes, const TraceOptions& options) {
  return {{"job", "trace"},
          {"lexiscope", LEXISCOPE_VERSION},
          {"model", model.path().string()},
          {"seed", options.seed},
          {"parameters", trace_parameters(sizes, options)}};
}

RunWriter::Existing writer_policy(TraceOptions::Existing existing) {
  return existing == TraceOptions::Existing::overwrite ? RunWriter::Existing::overwrite : RunWriter::Existing::refuse;
}

class TraceRun {
 public:
  TraceRun(Engine& engine, Model& model, const Tokenizer* tokenizer, const std::vector<TraceText>& texts,
           const TraceOptions& options, const TraceSizes& sizes, const Control* control)
      : engine_(engine),
        model_(model),
        tokenizer_(tokenizer),
        texts_(texts),
        options_(options),
        sizes_(sizes),
        control_(control),
        stop_only_{.stop = control ? control->stop : std::stop_token{}, .progress = {}},
        run_(options.out, identity(model, sizes, options), writer_policy(options.existing)),
        arrays_(run_, trace_arrays(model.config(), sizes, options)),
        context_{engine, model, sizes_, options, arrays_, seconds_, &stop_only_},
        attention_(context_),
        certainty_(context_),
        observer_(context_, attention_, certainty_) {}

  TraceSummary run() {
    write_tokens();
    begin("forward", sizes_.rows);
    for (const TraceBatch& batch : sizes_.batches) {
      forward(batch);
      if (options_.generate > 0) generate();
    }
    attention_.finish();
    {
      const StageSeconds::Running running(seconds_, "write");
      arrays_.finish();
      write_generated();
    }
    return finish();
  }

 private:
  void begin(std::string_view stage, std::size_t units) const {
    check_stop(control_);
    if (options_.on_stage) options_.on_stage(stage, units);
  }

  std::string name_of(std::int32_t id) const {
    const bool known = tokenizer_ && static_cast<std::size_t>(id) < tokenizer_->vocabulary_size();
    const std::string name = known ? tokenizer_->token(id) : "";
    return name.empty() ? fmt::format("[id {}]", id) : name;
  }

  void write_tokens() {
    const StageSeconds::Running running(seconds_, "write");
    std::vector<std::int32_t> ids;
    ids.reserve(sizes_.rows);
    for (const TraceText& text : texts_)
      for (const Token& token : text.tokens) ids.push_back(token.id);
    arrays_.write("token_ids", {0}, dense_view<const void>(ids.data(), DType::i32, std::array{ids.size()}));
    if (tokenizer_) run_.write_tokens(ids.size(), [&](std::size_t row) { return name_of(ids[row]); });
    if (sizes_.texts() == 1) return;
    const std::vector<std::int64_t> offsets(sizes_.offsets.begin(), sizes_.offsets.end());
    arrays_.write("text_offsets", {0}, dense_view<const void>(offsets.data(), DType::i64, std::array{offsets.size()}));
  }

  void forward(const TraceBatch& batch) {
    const StageSeconds::Running running(seconds_, "forward");
    TokenBatch tokens;
    for (std::size_t text = batch.first; text < batch.last; ++text) {
      std::vector<std::int32_t> ids;
      for (const Token& token : texts_[text].tokens) ids.push_back(token.id);
      tokens.add(ids);
    }
    const auto all = static_cast<double>(sizes_.rows);
    const Control control{.stop = stop_only_.stop, .progress = [&](double share) {
                            report(control_,
                                   (static_cast<double>(batch.row) + share * static_cast<double>(batch.rows)) / all);
                          }};
    if (options_.generate > 0) cache_ = model_.make_cache(sizes_.rows + options_.generate);
    observer_.begin(batch, tokens);
    last_state_ = model_.forward(tokens, observer_, cache_.get(), &control);
    require(observer_.complete(), "the model was loaded without layer {}, which is to be traced", sizes_.last_layer);
  }

  /// The text that is continued is the only one.
  void generate() {
    begin("generate", options_.generate);
    TraceContext context = context_;
    context.control = control_;
    summary_.generated = generate_tokens(context, tokenizer_, texts_.front().tokens.back().id,
                                         last_state_.rows_from(last_state_.rows - 1, 1), *cache_);
  }

  template <typename Element, typename Field>
  void write_field(const char* name, Field field, const char* meaning, const char* unit) {
    std::vector<Element> values;
    for (const GeneratedToken& token : summary_.generated) values.push_back(static_cast<Element>(token.*field));
    run_.write(name, dense_view<const void>(values.data(), dtype_of<Element>(), std::array{values.size()}),
               {{"generated token"}, meaning, unit});
  }

  void write_generated() {
    if (options_.generate == 0) return;
    write_field<std::int32_t>("generated_ids", &GeneratedToken::id, "the tokens that continue the text", "id");
    write_field<float>("generated_log_prob", &GeneratedToken::log_prob, "log-probability of the token", "nats");
    write_field<float>("generated_entropy", &GeneratedToken::entropy, "entropy of the distribution it is from", "nats");
    write_field<std::int32_t>("generated_rank", &GeneratedToken::rank, "1 + the number of tokens that were likelier",
                              "rank");
  }

  // ---- the end

  TraceSummary finish() {
    json source = describe_source();
    summary_.path = options_.out;
    summary_.model = model_.config();
    summary_.texts = sizes_.texts();
    summary_.tokens = sizes_.rows;
    summary_.first_text = first_text();
    summary_.layers = observer_.summaries();
    const std::size_t predicted = predicted_tokens(model_.config(), sizes_);
    if (sizes_.certainty && predicted > 0) {
      summary_.log_prob = observer_.final_sums().log_prob;
      if (model_.config().causal) summary_.perplexity = std::exp(-*summary_.log_prob / static_cast<double>(predicted));
    }
    summary_.seconds = {{"load", options_.load_seconds}};
    summary_.seconds.insert(summary_.seconds.end(), seconds_.stages().begin(), seconds_.stages().end());
    const double here = std::chrono::duration<double>(Clock::now() - start_).count();
    summary_.seconds.emplace_back("total", options_.load_seconds + here);
    summary_.peak_bytes = peak_memory();
    run_.finish(manifest(std::move(source)));
    return std::move(summary_);
  }

  json describe_source() {
    const StageSeconds::Running running(seconds_, "checksums");
    json files = json::array();
    for (const std::string& file : model_.files()) {
      check_stop(control_);
      files.push_back({{"path", file}, {"sha256", sha256_file(file)}});
    }
    return {{"path", model_.path().string()}, {"files", std::move(files)}, {"stored_dtype", model_.stored_dtype()}};
  }

  std::vector<TracedToken> first_text() const {
    std::vector<TracedToken> tokens;
    for (const Token& token : texts_.front().tokens)
      tokens.push_back({.id = token.id, .token = name_of(token.id), .begin = token.begin, .end = token.end});
    const std::size_t first = model_.config().causal ? 1 : 0;
    const auto& predictions = certainty_.first_text();
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      tokens[first + i].log_prob = predictions[i].log_prob;
      tokens[first + i].rank = static_cast<std::size_t>(predictions[i].rank);
    }
    return tokens;
  }

  json manifest(json source) const {
    json fields{{"lexiscope", LEXISCOPE_VERSION},
                {"job", "trace"},
                {"command", options_.command},
                {"engine", engine_.name()},
                {"engine_description", engine_.description()},
                {"seed", options_.seed},
                {"threads", engine_.threads()},
                {"source", std::move(source)},
                {"model", model_description(model_.config())},
                {"parameters", trace_parameters(sizes_, options_)},
                {"peak_bytes", summary_.peak_bytes}};
    fields["parameters"]["precision"] = lexiscope::name_of(observer_.precision());
    for (const auto& [name, version] : library_versions()) fields["versions"][name] = version;
    for (const auto& [stage, seconds] : summary_.seconds) fields["seconds"][stage] = seconds;
    fields["statistics"] = {{"texts", summary_.texts}, {"tokens", summary_.tokens}};
    if (summary_.log_prob) fields["statistics"]["log_prob"] = *summary_.log_prob;
    if (summary_.perplexity) fields["statistics"]["perplexity"] = *summary_.perplexity;
    return fields;
  }

  Engine& engine_;
  Model& model_;
  const Tokenizer* tokenizer_;
  const std::vector<TraceText>& texts_;
  const TraceOptions& options_;
  const TraceSizes& sizes_;
  const Control* control_;
  Control stop_only_;  ///< for work within a stage, whose own share done means nothing
  Clock::time_point start_ = Clock::now();
  StageSeconds seconds_;
  RunWriter run_;
  RegionArrays arrays_;
  TraceContext context_;
  TraceAttention attention_;
  TraceCertainty certainty_;
  TraceObserver observer_;
  std::unique_ptr<KeyValueCache> cache_;
  MatrixView<const float> last_state_;
  TraceSummary summary_;
};

}  // namespace

TraceSummary trace(Engine& engine, Model& model, const Tokenizer* tokenizer, const std::vector<TraceText>& texts,
                   const TraceOptions& options, const Control* control) {
  const TraceSizes sizes = check_trace(model.config(), texts, options);
  return TraceRun(engine, model, tokenizer, texts, options, sizes, control).run();
}

}  // namespace lexiscope
