# lorascope completion for bash. Once:
#   lorascope completion bash > ~/.local/share/bash-completion/completions/lorascope
_lorascope() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 && $cur != -* ]]; then
        words="probe ls compare recommend allocate run study evaluate report watch quickstart check env"
    else
        case $prev in
            --scores) words="snip gora fisher plop weight spectrum whitened whitened_diagonal eva attribution adalora" ;;
            --datasets) words="e2e_nlg samsum wikisql multi_nli" ;;
            --knock_out) words="kind module" ;;
            --dtype) words="auto float32 bfloat16 float16" ;;
            --target) words="attention_only attention_qv mlp_only both all" ;;
            --dataset) words="e2e_nlg samsum wikisql multi_nli" ;;
            --data_source) words="auto hub local builtin" ;;
            --loss_on) words="answer all" ;;
            --color) words="auto always never" ;;
            --preset) words="e2e_attention e2e_mlp e2e_both e2e_dynamic samsum_attention samsum_mlp samsum_both samsum_dynamic wikisql_attention wikisql_mlp wikisql_both wikisql_dynamic mnli_attention mnli_mlp mnli_both mnli_dynamic quickstart quickstart_samsum quickstart_wikisql quickstart_mnli" ;;
            --method) words="uniform random proportional attribution threshold adam_first_step spectral whitened mixed eva gora efim inverted shuffled_layers shuffled_kinds adalora" ;;
            --score) words="signal grad_sq lora_sq adam_step snip fisher whitened_diagonal" ;;
            --phase_strategy) words="both-mlp-attn attn-mlp-both both-mlp-both early-late late-early lisa sensitivity" ;;
            --inactive) words="freeze measure" ;;
            --on_thaw) words="keep zero_m reset" ;;
            --executor) words="local ray" ;;
            --require) words="decided" ;;
            --split) words="train validation test" ;;
            --engine) words="transformers vllm" ;;
        esac
        if [[ -z $words ]]; then
            [[ $verb == -* ]] && verb=run
            if [[ $cur == -* ]]; then
                case $verb in
                    probe) words="--plan --batches --tau --time_limit --scores --datasets --match_lengths --knock_out --trial_steps --probe_after --no_control --overwrite --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --batch_size --grad_accum --lr --seed --activation_checkpointing --no_activation_checkpointing --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --num_samples --max_length --data_seed --loss_on --experiment_name --output_dir --json --quiet --verbose --color --help" ;;
                    ls) words="--output_dir --json --color --help" ;;
                    compare) words="--json --color --help" ;;
                    recommend) words="--prove --output --plan --preset --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --batch_size --grad_accum --lr --lr_scheduler --optim --weight_decay --seed --activation_checkpointing --no_activation_checkpointing --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --num_samples --validation_split --max_length --data_seed --loss_on --json --quiet --verbose --color --help" ;;
                    allocate) words="--method --score --output --padded --overwrite --model --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --seed --json --quiet --verbose --color --help" ;;
                    run) words="--preset --config --plan --batch --compare --resume --overwrite --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --allocation --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --seed --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --experiment_name --output_dir --json --quiet --verbose --color --help" ;;
                    study) words="--plan --jobs --executor --seeds --require --output_dir --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --r --lora_alpha --lora_dropout --budget --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --json --quiet --verbose --color --help" ;;
                    evaluate) words="--split --predictions --output --merge --engine --plan --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --max_length --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --json --quiet --verbose --color --help" ;;
                    report) words="--output --samples --surface --json --quiet --color --help" ;;
                    watch) words="--port --quiet --color --help" ;;
                    quickstart) words="--output_dir --json --quiet --verbose --color --help" ;;
                    check) words="--list --preset --config --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --allocation --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --seed --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --experiment_name --output_dir --json --quiet --verbose --color --help" ;;
                    env) words="--json --color --help" ;;
                esac
            else
                case $verb in
                    ls) words="tasks presets targets runs" ;;
                    study) words="NAME FILE" ;;
                    completion) words="bash zsh fish" ;;
                esac
            fi
        fi
    fi
    [[ -n $words ]] && mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -o bashdefault -F _lorascope lorascope
