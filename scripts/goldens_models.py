#!/usr/bin/env python3
"""Makes tests/data/models: tiny random checkpoints saved by transformers, and what transformers says of two texts, in double.

    "$(scripts/python_venv.sh goldens-models scripts/requirements-goldens-models.txt)/bin/python" scripts/goldens_models.py

Each folder holds config.json and model.safetensors, or model.gguf as llama.cpp lays it out, and golden_*.npy: hidden states before any final norm [2, L + 1, T, d],
attention entropies and received attention [2, L, H, T], and for models with a head log-probabilities of every token [2, T, V].
"""

import importlib.metadata
import shutil
from pathlib import Path

import gguf
import numpy
import torch
import transformers

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
TOKENS, VOCABULARY = 13, 61
SMALL = dict(vocab_size=VOCABULARY, tie_word_embeddings=False)
LLAMA = dict(SMALL, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40,
             max_position_embeddings=64, initializer_range=0.2, bos_token_id=1, eos_token_id=2)


def models():
    bert = transformers.BertConfig(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                                   intermediate_size=40, max_position_embeddings=32, initializer_range=0.2)
    yield "bert", transformers.BertModel(bert, add_pooling_layer=False)
    yield "bert_mlm", transformers.BertForMaskedLM(bert)
    gpt2 = dict(vocab_size=VOCABULARY, n_positions=32, n_embd=24, n_layer=3, n_head=2, initializer_range=0.2, eos_token_id=2)
    yield "gpt2", transformers.GPT2LMHeadModel(transformers.GPT2Config(**gpt2))
    llama3 = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=16)
    yield "llama", transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA, rope_parameters=llama3, attention_bias=True))
    tied = dict(LLAMA, tie_word_embeddings=True)
    yarn = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
    yield "qwen2", transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**tied, rope_parameters=yarn))
    linear = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
    yield "mistral", transformers.MistralForCausalLM(
        transformers.MistralConfig(**LLAMA, head_dim=8, sliding_window=40, rope_parameters=linear))
    yield "llama_gguf", transformers.LlamaForCausalLM(transformers.LlamaConfig(**tied, rope_parameters=llama3))


def paper_order(weight, heads):
    """The rows of a query or key matrix with the two elements of a rotary pair side by side, as llama.cpp has them."""
    return weight.reshape(heads, 2, -1, weight.shape[-1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(network, path):
    """The file that llama.cpp's converter makes, in F32."""
    config, inner = network.config, network.model
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_eos_token_id(config.eos_token_id)
    tensors = {"token_embd": inner.embed_tokens, "output_norm": inner.norm}
    for number, layer in enumerate(inner.layers):
        attention, mlp = layer.self_attn, layer.mlp
        parts = dict(attn_norm=layer.input_layernorm, ffn_norm=layer.post_attention_layernorm, attn_q=attention.q_proj,
                     attn_k=attention.k_proj, attn_v=attention.v_proj, attn_output=attention.o_proj, ffn_gate=mlp.gate_proj,
                     ffn_up=mlp.up_proj, ffn_down=mlp.down_proj)
        tensors |= {f"blk.{number}.{name}": module for name, module in parts.items()}
    for name, module in tensors.items():
        weight = module.weight.detach().numpy()
        if name.endswith(("attn_q", "attn_k")):
            heads = config.num_attention_heads if name.endswith("q") else config.num_key_value_heads
            weight = paper_order(weight, heads)
        writer.add_tensor(f"{name}.weight", numpy.ascontiguousarray(weight))
    unscaled = config.rope_parameters["rope_theta"] ** -(numpy.arange(0, config.head_dim, 2) / config.head_dim)
    factors = unscaled / inner.rotary_emb.inv_freq.double().numpy()
    writer.add_tensor("rope_freqs.weight", factors.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def randomize(network):
    """Biases and gains that differ, so that a missing one shows."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim == 1:
                weight.copy_((1.0 if "bias" not in name else 0.0) + 0.3 * torch.randn_like(weight))


def in_double(network):
    """transformers asks for single precision in softmax, RMSNorm and rotary angles: here they get double all the same."""
    softmax = torch.nn.functional.softmax
    torch.nn.functional.softmax = lambda x, dim=None, dtype=None: softmax(x, dim=dim)
    torch.Tensor.float = lambda tensor: tensor.double()
    for module in network.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = lambda x, module=module: (
                module.weight * x / (x.square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt())
    return network.double().eval()


def goldens(network, ids):
    before_norm = []
    for name, module in network.named_modules():
        if name in ("transformer.ln_f", "model.norm"):
            module.register_forward_hook(lambda _, inputs, __: before_norm.append(inputs[0]))
    with torch.inference_mode():
        out = network(ids, output_hidden_states=True, output_attentions=True)
    states = list(out.hidden_states)
    if before_norm:
        states[-1] = before_norm[0]
    maps = torch.stack(out.attentions, 1)
    yield "hidden_states", torch.stack(states, 1)
    yield "attention_entropy", -torch.special.xlogy(maps, maps).sum(-1)
    yield "attention_received", maps.sum(-2)
    if "logits" in out:
        yield "log_probs", out.logits.log_softmax(-1)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(0)
    for number, (name, network) in enumerate(models()):
        torch.manual_seed(number)
        randomize(network)
        folder = OUT / name
        network.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        ids = torch.randint(3, VOCABULARY, (2, TOKENS))
        numpy.save(folder / "golden_ids.npy", ids.numpy().astype("int32"))
        kind = type(network)
        network = kind.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        if name.endswith("gguf"):
            write_gguf(network, folder / "model.gguf")
            (folder / "model.safetensors").unlink()
            (folder / "config.json").unlink()
        for array, values in goldens(in_double(network), ids):
            numpy.save(folder / f"golden_{array}.npy", values.numpy())
    versions = {package.__name__: package.__version__ for package in (numpy, torch, transformers)} | {"gguf": importlib.metadata.version("gguf")}
    (OUT / "versions.txt").write_text("".join(f"{name} {version}\n" for name, version in versions.items()))


if __name__ == "__main__":
    main()
