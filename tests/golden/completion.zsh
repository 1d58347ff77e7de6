#compdef lorascope
# lorascope completion for zsh. Once, with a folder of your fpath:
#   lorascope completion zsh > ~/.zfunc/_lorascope
_lorascope() {
    local verb=$words[2]
    if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
        local -a verbs=(
            'probe:Measure how sensitive every module is to a task, before any training; or what a run'\''s adapters do.'
            'ls:List tasks, presets, targets and runs.'
            'compare:Put finished runs side by side, or profiles: losses, metrics, norms; attention'\''s share of each task.'
            'recommend:Say which adapter to train, from a profile; with --prove after training candidates beside uniform.'
            'allocate:Divide a budget of trained parameters among the modules, exactly, and write it as trainers take it.'
            'run:Train one adapter, measure its modules'\'' gradients on the way, evaluate it; all in one folder.'
            'study:Run a grid of tasks, arms and seeds at equal budgets, in parallel; end in verdicts with statistics.'
            'evaluate:Evaluate runs, adapters, a bare model, or predictions made elsewhere, on a task'\''s test rows.'
            'report:Write a page of runs or of a study: one HTML file that works offline and can be sent.'
            'watch:Show the page of a run while it goes on, in a browser on this machine.'
            'quickstart:See the whole thing work in a minute or two, without network: a tiny model, generated data.'
            'check:Build what a run would build, without weights, and say whether it fits together; trains nothing.'
            'env:Show versions and devices, as a bug report needs them.'
        )
        _describe verb verbs
        return
    fi
    case $words[CURRENT-1] in
        --scores) compadd -- snip gora fisher plop weight spectrum whitened whitened_diagonal eva attribution adalora; return ;;
        --datasets) compadd -- e2e_nlg samsum wikisql multi_nli; return ;;
        --knock_out) compadd -- kind module; return ;;
        --dtype) compadd -- auto float32 bfloat16 float16; return ;;
        --target) compadd -- attention_only attention_qv mlp_only both all; return ;;
        --dataset) compadd -- e2e_nlg samsum wikisql multi_nli; return ;;
        --data_source) compadd -- auto hub local builtin; return ;;
        --loss_on) compadd -- answer all; return ;;
        --color) compadd -- auto always never; return ;;
        --preset) compadd -- e2e_attention e2e_mlp e2e_both e2e_dynamic samsum_attention samsum_mlp samsum_both samsum_dynamic wikisql_attention wikisql_mlp wikisql_both wikisql_dynamic mnli_attention mnli_mlp mnli_both mnli_dynamic quickstart quickstart_samsum quickstart_wikisql quickstart_mnli; return ;;
        --method) compadd -- uniform random proportional attribution threshold adam_first_step spectral whitened mixed eva gora efim inverted shuffled_layers shuffled_kinds adalora; return ;;
        --score) compadd -- signal grad_sq lora_sq adam_step snip fisher whitened_diagonal; return ;;
        --phase_strategy) compadd -- both-mlp-attn attn-mlp-both both-mlp-both early-late late-early lisa sensitivity; return ;;
        --inactive) compadd -- freeze measure; return ;;
        --on_thaw) compadd -- keep zero_m reset; return ;;
        --executor) compadd -- local ray; return ;;
        --require) compadd -- decided; return ;;
        --split) compadd -- train validation test; return ;;
        --engine) compadd -- transformers vllm; return ;;
    esac
    [[ $verb == -* ]] && verb=run
    if [[ $PREFIX == -* ]]; then
        case $verb in
            probe) compadd -- --plan --batches --tau --time_limit --scores --datasets --match_lengths --knock_out --trial_steps --probe_after --no_control --overwrite --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --batch_size --grad_accum --lr --seed --activation_checkpointing --no_activation_checkpointing --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --num_samples --max_length --data_seed --loss_on --experiment_name --output_dir --json --quiet --verbose --color --help ;;
            ls) compadd -- --output_dir --json --color --help ;;
            compare) compadd -- --json --color --help ;;
            recommend) compadd -- --prove --output --plan --preset --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --batch_size --grad_accum --lr --lr_scheduler --optim --weight_decay --seed --activation_checkpointing --no_activation_checkpointing --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --num_samples --validation_split --max_length --data_seed --loss_on --json --quiet --verbose --color --help ;;
            allocate) compadd -- --method --score --output --padded --overwrite --model --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --seed --json --quiet --verbose --color --help ;;
            run) compadd -- --preset --config --plan --batch --compare --resume --overwrite --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --allocation --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --seed --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --experiment_name --output_dir --json --quiet --verbose --color --help ;;
            study) compadd -- --plan --jobs --executor --seeds --require --output_dir --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --r --lora_alpha --lora_dropout --budget --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --json --quiet --verbose --color --help ;;
            evaluate) compadd -- --split --predictions --output --merge --engine --plan --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --max_length --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --json --quiet --verbose --color --help ;;
            report) compadd -- --output --samples --surface --json --quiet --color --help ;;
            watch) compadd -- --port --quiet --color --help ;;
            quickstart) compadd -- --output_dir --json --quiet --verbose --color --help ;;
            check) compadd -- --list --preset --config --model --dtype --device_map --attn_implementation --trust_remote_code --no_trust_remote_code --target --r --lora_alpha --lora_dropout --budget --allocation --batch_size --grad_accum --max_steps --lr --lr_scheduler --warmup_steps --optim --weight_decay --max_grad_norm --seed --activation_checkpointing --no_activation_checkpointing --eval_every --save_every --report_to --dataset --data_source --data_revision --data_dir --prompt_column --target_column --prompt_template --drop_duplicates --no_drop_duplicates --num_samples --validation_split --max_length --data_seed --loss_on --log_frequency --layer_norm --no_layer_norm --weight_every --eval --no_eval --eval_base --no_eval_base --eval_samples --temperature --top_p --constrained --no_constrained --max_new_tokens --metrics --eval_batch_tokens --samples --no_samples --dynamic_lora --no_dynamic_lora --phase_strategy --phase1_end --phase2_end --phase_every --phase_layers --phase_budget --phase_explore --inactive --on_thaw --phase_warmup --experiment_name --output_dir --json --quiet --verbose --color --help ;;
            env) compadd -- --json --color --help ;;
        esac
        return
    fi
    case $verb in
        ls) compadd -- tasks presets targets runs; return ;;
        study) compadd -- NAME FILE; return ;;
        completion) compadd -- bash zsh fish; return ;;
    esac
    _files
}
if [[ $funcstack[1] == _lorascope ]]; then
    _lorascope "$@"
else
    compdef _lorascope lorascope
fi
