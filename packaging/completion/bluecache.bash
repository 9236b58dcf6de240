# SPDX-License-Identifier: Apache-2.0
#
# Completion of `bluecache` for bash. It needs no helper functions: source it, or install it as
# bash-completion/completions/bluecache.

_bluecache_words() {
    local IFS=$' \t\n'
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_bluecache_files() {
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
    compopt -o filenames 2>/dev/null
}

# The command among the words typed so far, and how many operands follow it: sets command and operands.
_bluecache_parse() {
    local word i skip=no
    command=
    operands=0
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        # bash takes "--size=1M" and "host:port" apart at = and :.
        if [[ $word == [=:] ]]; then
            skip=yes
        elif [[ $skip == yes ]]; then
            skip=no
        elif [[ " $with_argument " == *" $word "* ]]; then
            [[ ${COMP_WORDS[i + 1]} == = ]] || skip=yes
        elif [[ $word == -?* ]]; then
            :
        elif [[ -z $command ]]; then
            command=$word
        else
            operands=$((operands + 1))
        fi
    done
}

_bluecache() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local commands='push pull query remove stats ping bench help'
    local common='-d --dpu -p --pci -m --mode --timeout --json --no-progress -h --help -V --version'
    local with_argument='-d --dpu -p --pci -m --mode --timeout -w --watch -c --count -i --interval --op -s --size
        -b --batch --depth -t --threads --seconds --warmup -k --keys --memory --prefix'
    local command operands

    with_argument=${with_argument//$'\n'/ }
    COMPREPLY=()
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $prev in
        -m | --mode) _bluecache_words 'tcp comch' "$cur"; return ;;
        --op) _bluecache_words 'both push pull' "$cur"; return ;;
        --memory) _bluecache_words 'shared malloc' "$cur"; return ;;
    esac
    if [[ " $with_argument " == *" $prev "* ]]; then
        return
    fi
    _bluecache_parse
    if [[ $cur == -* ]]; then
        case $command in
            '') _bluecache_words "$common" "$cur" ;;
            push) _bluecache_words "-x --key-hex -g --group $common" "$cur" ;;
            pull | query | remove) _bluecache_words "-x --key-hex $common" "$cur" ;;
            stats) _bluecache_words "-w --watch -c --count $common" "$cur" ;;
            ping) _bluecache_words "-c --count -i --interval $common" "$cur" ;;
            bench)
                _bluecache_words "--op -s --size -b --batch --depth -t --threads --seconds -c --count --warmup
                    -k --keys --fresh --verify --memory --prefix --keep $common" "$cur"
                ;;
        esac
        return
    fi
    case $command in
        '' | help) _bluecache_words "$commands" "$cur" ;;
        push | pull)
            if [[ $operands -eq 1 ]]; then
                _bluecache_files "$cur"
            fi
            ;;
    esac
}

complete -F _bluecache bluecache
