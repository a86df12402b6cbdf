# zsh ask-zsh.zsh SCRIPT LINE: loads a completion script and prints what it offers for the last word of LINE, one a line.
# Completion works inside zsh's line editor alone: a second zsh on a pseudo-terminal is given the line and a Tab, and
# every match that its completion system would add is printed instead.
zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner "PROMPT=; autoload -Uz compinit; compinit -u -D; source $1
compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd \"\$@\"; return \$?; fi
  typeset -a hits; builtin compadd -A hits \"\$@\"
  (( \$#hits )) && print && print -rl -- HIT:\${^hits}
}
ask() { _main_complete; compstate[insert]=''; compstate[list]=''; print END }
zle -C ask complete-word ask; bindkey '^I' ask; print BEG\\IN"
zpty -r inner out '*BEGIN*'
zpty -w -n inner "$2"$'\t'
zpty -r inner out '*END*'
print -r -- ${(F)${(M)${(f)out}:#HIT:*}#HIT:}
zpty -d inner
