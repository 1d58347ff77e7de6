# lorascope completion for fish. Once:
#   lorascope completion fish > ~/.config/fish/completions/lorascope.fish
complete -c lorascope -f -n __fish_use_subcommand -a probe -d 'Measure how sensitive every module is to a task, before any training; or what a run'\''s adapters do.'
complete -c lorascope -f -n __fish_use_subcommand -a ls -d 'List tasks, presets, targets and runs.'
complete -c lorascope -f -n __fish_use_subcommand -a compare -d 'Put finished runs side by side, or profiles: losses, metrics, norms; attention'\''s share of each task.'
complete -c lorascope -f -n __fish_use_subcommand -a recommend -d 'Say which adapter to train, from a profile; with --prove after training candidates beside uniform.'
complete -c lorascope -f -n __fish_use_subcommand -a allocate -d 'Divide a budget of trained parameters among the modules, exactly, and write it as trainers take it.'
complete -c lorascope -f -n __fish_use_subcommand -a run -d 'Train one adapter, measure its modules'\'' gradients on the way, evaluate it; all in one folder.'
complete -c lorascope -f -n __fish_use_subcommand -a study -d 'Run a grid of tasks, arms and seeds at equal budgets, in parallel; end in verdicts with statistics.'
complete -c lorascope -f -n __fish_use_subcommand -a evaluate -d 'Evaluate runs, adapters, a bare model, or predictions made elsewhere, on a task'\''s test rows.'
complete -c lorascope -f -n __fish_use_subcommand -a report -d 'Write a page of runs or of a study: one HTML file that works offline and can be sent.'
complete -c lorascope -f -n __fish_use_subcommand -a watch -d 'Show the page of a run while it goes on, in a browser on this machine.'
complete -c lorascope -f -n __fish_use_subcommand -a quickstart -d 'See the whole thing work in a minute or two, without network: a tiny model, generated data.'
complete -c lorascope -f -n __fish_use_subcommand -a check -d 'Build what a run would build, without weights, and say whether it fits together; trains nothing.'
complete -c lorascope -f -n __fish_use_subcommand -a env -d 'Show versions and devices, as a bug report needs them.'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l plan
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l batches -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l tau -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l time_limit -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l scores -r -f -a 'snip gora fisher plop weight spectrum whitened whitened_diagonal eva attribution adalora'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l datasets -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l match_lengths
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l knock_out -r -f -a 'kind module'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l trial_steps -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l probe_after -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l no_control
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l overwrite
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l device_map -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l attn_implementation -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l target -r -f -a 'attention_only attention_qv mlp_only both all'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l r -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l lora_alpha -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l batch_size -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l grad_accum -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l lr -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l seed -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l no_activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l dataset -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l data_revision -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l data_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l prompt_column -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l target_column -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l prompt_template -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l num_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l max_length -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l data_seed -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l loss_on -r -f -a 'answer all'
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l experiment_name -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l output_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l json
complete -c lorascope -n '__fish_seen_subcommand_from probe' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from probe' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from probe' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from ls' -f -a 'tasks presets targets runs'
complete -c lorascope -n '__fish_seen_subcommand_from ls' -l output_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from ls' -l json
complete -c lorascope -n '__fish_seen_subcommand_from ls' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from compare' -l json
complete -c lorascope -n '__fish_seen_subcommand_from compare' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l prove
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l output -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l plan
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l preset -r -f -a 'e2e_attention e2e_mlp e2e_both e2e_dynamic samsum_attention samsum_mlp samsum_both samsum_dynamic wikisql_attention wikisql_mlp wikisql_both wikisql_dynamic mnli_attention mnli_mlp mnli_both mnli_dynamic quickstart quickstart_samsum quickstart_wikisql quickstart_mnli'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l device_map -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l attn_implementation -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l target -r -f -a 'attention_only attention_qv mlp_only both all'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l r -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l lora_alpha -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l lora_dropout -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l budget -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l batch_size -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l grad_accum -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l lr -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l lr_scheduler -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l optim -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l weight_decay -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l seed -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l no_activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l dataset -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l data_revision -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l data_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l prompt_column -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l target_column -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l prompt_template -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l num_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l validation_split -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l max_length -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l data_seed -r
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l loss_on -r -f -a 'answer all'
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l json
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from recommend' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l method -r -f -a 'uniform random proportional attribution threshold adam_first_step spectral whitened mixed eva gora efim inverted shuffled_layers shuffled_kinds adalora'
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l score -r -f -a 'signal grad_sq lora_sq adam_step snip fisher whitened_diagonal'
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l output -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l padded
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l overwrite
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l target -r -f -a 'attention_only attention_qv mlp_only both all'
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l r -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l lora_alpha -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l lora_dropout -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l budget -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l seed -r
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l json
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from allocate' -l color -r -f -a 'auto always never'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l preset -r -f -a 'e2e_attention e2e_mlp e2e_both e2e_dynamic samsum_attention samsum_mlp samsum_both samsum_dynamic wikisql_attention wikisql_mlp wikisql_both wikisql_dynamic mnli_attention mnli_mlp mnli_both mnli_dynamic quickstart quickstart_samsum quickstart_wikisql quickstart_mnli'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l config -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l plan
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l batch
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l compare -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l resume -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l overwrite
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l model -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l device_map -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l attn_implementation -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l trust_remote_code
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_trust_remote_code
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l target -r -f -a 'attention_only attention_qv mlp_only both all'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l r -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l lora_alpha -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l lora_dropout -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l budget -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l allocation -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l batch_size -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l grad_accum -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l max_steps -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l lr -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l lr_scheduler -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l warmup_steps -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l optim -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l weight_decay -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l max_grad_norm -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l seed -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l activation_checkpointing
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_activation_checkpointing
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l eval_every -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l save_every -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l report_to -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l dataset -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l data_revision -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l data_dir -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l prompt_column -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l target_column -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l prompt_template -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l drop_duplicates
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_drop_duplicates
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l num_samples -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l validation_split -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l max_length -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l data_seed -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l loss_on -r -f -a 'answer all'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l log_frequency -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l layer_norm
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_layer_norm
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l weight_every -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l eval
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_eval
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l eval_base
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_eval_base
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l eval_samples -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l temperature -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l top_p -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l constrained
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_constrained
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l max_new_tokens -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l metrics -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l eval_batch_tokens -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l samples
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_samples
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l dynamic_lora
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l no_dynamic_lora
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_strategy -r -f -a 'both-mlp-attn attn-mlp-both both-mlp-both early-late late-early lisa sensitivity'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase1_end -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase2_end -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_every -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_layers -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_budget -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_explore -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l inactive -r -f -a 'freeze measure'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l on_thaw -r -f -a 'keep zero_m reset'
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l phase_warmup -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l experiment_name -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l output_dir -r
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l json
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -s q -l quiet
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -s v -l verbose
complete -c lorascope -n 'not __fish_seen_subcommand_from probe ls compare recommend allocate study evaluate report watch quickstart check env completion' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from study' -f -a 'NAME FILE'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l plan
complete -c lorascope -n '__fish_seen_subcommand_from study' -l jobs -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l executor -r -f -a 'local ray'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l seeds -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l require -r -f -a 'decided'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l output_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l device_map -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l attn_implementation -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from study' -l r -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l lora_alpha -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l lora_dropout -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l budget -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l batch_size -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l grad_accum -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l max_steps -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l lr -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l lr_scheduler -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l warmup_steps -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l optim -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l weight_decay -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l max_grad_norm -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from study' -l eval_every -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l save_every -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l report_to -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l data_revision -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l data_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l prompt_column -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l target_column -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l prompt_template -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l drop_duplicates
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_drop_duplicates
complete -c lorascope -n '__fish_seen_subcommand_from study' -l num_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l validation_split -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l max_length -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l data_seed -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l loss_on -r -f -a 'answer all'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l log_frequency -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l layer_norm
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_layer_norm
complete -c lorascope -n '__fish_seen_subcommand_from study' -l weight_every -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l eval
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_eval
complete -c lorascope -n '__fish_seen_subcommand_from study' -l eval_base
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_eval_base
complete -c lorascope -n '__fish_seen_subcommand_from study' -l eval_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l temperature -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l top_p -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l constrained
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_constrained
complete -c lorascope -n '__fish_seen_subcommand_from study' -l max_new_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l metrics -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l eval_batch_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l samples
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_samples
complete -c lorascope -n '__fish_seen_subcommand_from study' -l dynamic_lora
complete -c lorascope -n '__fish_seen_subcommand_from study' -l no_dynamic_lora
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_strategy -r -f -a 'both-mlp-attn attn-mlp-both both-mlp-both early-late late-early lisa sensitivity'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase1_end -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase2_end -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_every -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_layers -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_budget -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_explore -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l inactive -r -f -a 'freeze measure'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l on_thaw -r -f -a 'keep zero_m reset'
complete -c lorascope -n '__fish_seen_subcommand_from study' -l phase_warmup -r
complete -c lorascope -n '__fish_seen_subcommand_from study' -l json
complete -c lorascope -n '__fish_seen_subcommand_from study' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from study' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from study' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l split -r -f -a 'train validation test'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l predictions -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l output -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l merge
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l engine -r -f -a 'transformers vllm'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l plan
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l device_map -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l attn_implementation -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l dataset -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l data_revision -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l data_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l prompt_column -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l target_column -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l prompt_template -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l max_length -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l eval_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l temperature -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l top_p -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l constrained
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l no_constrained
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l max_new_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l metrics -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l eval_batch_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l json
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from evaluate' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from report' -s o -l output -r
complete -c lorascope -n '__fish_seen_subcommand_from report' -l samples -r
complete -c lorascope -n '__fish_seen_subcommand_from report' -l surface
complete -c lorascope -n '__fish_seen_subcommand_from report' -l json
complete -c lorascope -n '__fish_seen_subcommand_from report' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from report' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from watch' -l port -r
complete -c lorascope -n '__fish_seen_subcommand_from watch' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from watch' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from quickstart' -l output_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from quickstart' -l json
complete -c lorascope -n '__fish_seen_subcommand_from quickstart' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from quickstart' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from quickstart' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l list
complete -c lorascope -n '__fish_seen_subcommand_from check' -l preset -r -f -a 'e2e_attention e2e_mlp e2e_both e2e_dynamic samsum_attention samsum_mlp samsum_both samsum_dynamic wikisql_attention wikisql_mlp wikisql_both wikisql_dynamic mnli_attention mnli_mlp mnli_both mnli_dynamic quickstart quickstart_samsum quickstart_wikisql quickstart_mnli'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l config -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l model -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l dtype -r -f -a 'auto float32 bfloat16 float16'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l device_map -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l attn_implementation -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_trust_remote_code
complete -c lorascope -n '__fish_seen_subcommand_from check' -l target -r -f -a 'attention_only attention_qv mlp_only both all'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l r -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l lora_alpha -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l lora_dropout -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l budget -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l allocation -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l batch_size -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l grad_accum -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l max_steps -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l lr -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l lr_scheduler -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l warmup_steps -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l optim -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l weight_decay -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l max_grad_norm -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l seed -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_activation_checkpointing
complete -c lorascope -n '__fish_seen_subcommand_from check' -l eval_every -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l save_every -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l report_to -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l dataset -r -f -a 'e2e_nlg samsum wikisql multi_nli'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l data_source -r -f -a 'auto hub local builtin'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l data_revision -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l data_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l prompt_column -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l target_column -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l prompt_template -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l drop_duplicates
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_drop_duplicates
complete -c lorascope -n '__fish_seen_subcommand_from check' -l num_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l validation_split -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l max_length -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l data_seed -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l loss_on -r -f -a 'answer all'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l log_frequency -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l layer_norm
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_layer_norm
complete -c lorascope -n '__fish_seen_subcommand_from check' -l weight_every -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l eval
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_eval
complete -c lorascope -n '__fish_seen_subcommand_from check' -l eval_base
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_eval_base
complete -c lorascope -n '__fish_seen_subcommand_from check' -l eval_samples -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l temperature -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l top_p -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l constrained
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_constrained
complete -c lorascope -n '__fish_seen_subcommand_from check' -l max_new_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l metrics -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l eval_batch_tokens -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l samples
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_samples
complete -c lorascope -n '__fish_seen_subcommand_from check' -l dynamic_lora
complete -c lorascope -n '__fish_seen_subcommand_from check' -l no_dynamic_lora
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_strategy -r -f -a 'both-mlp-attn attn-mlp-both both-mlp-both early-late late-early lisa sensitivity'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase1_end -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase2_end -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_every -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_layers -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_budget -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_explore -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l inactive -r -f -a 'freeze measure'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l on_thaw -r -f -a 'keep zero_m reset'
complete -c lorascope -n '__fish_seen_subcommand_from check' -l phase_warmup -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l experiment_name -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l output_dir -r
complete -c lorascope -n '__fish_seen_subcommand_from check' -l json
complete -c lorascope -n '__fish_seen_subcommand_from check' -s q -l quiet
complete -c lorascope -n '__fish_seen_subcommand_from check' -s v -l verbose
complete -c lorascope -n '__fish_seen_subcommand_from check' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from env' -l json
complete -c lorascope -n '__fish_seen_subcommand_from env' -l color -r -f -a 'auto always never'
complete -c lorascope -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'
