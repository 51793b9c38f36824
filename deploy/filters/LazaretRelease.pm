# Lets mail through that was released from Lazaret, once (docs/release.md): what SpamAssassin's plugin below and amavis' hook
# (amavis/60-lazaret-release) share.
#
# A release carries X-Lazaret-Release, signed by Lazaret for this recipient and this body, one signature for each try. What
# does not verify is judged like any other message.
#
# Needs the key (`lazaret release-key --file`) and a folder that the filter may write to: a small file there remembers each
# signature that has passed, until it is no longer valid.
package LazaretRelease;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256 sha256_hex);
use MIME::Base64 qw(encode_base64url decode_base64url);

our $VERSION = '1';

my $longest_value = 2000;
my $most_values   = 4;
my %keys;

# The body's SHA-256 as Lazaret signed it: lines end with CRLF there, often with LF here. Give it the body piece by piece.
sub body_hash {
  my ($next) = @_;
  my $sha  = Digest::SHA->new(256);
  my $rest = '';
  while (defined(my $piece = $next->())) {
    $piece = $rest . $piece;
    $rest  = $piece =~ s/\r\z// ? "\r" : '';
    $piece =~ s/\r?\n/\r\n/g;
    $sha->add($piece);
  }
  $sha->add($rest);
  return $sha->hexdigest;
}

# Is this message a release that may pass? Answers (entry, undef), or (undef, why not), or nothing if it claims no release.
#   key_file, seen_dir   paths
#   values               the X-Lazaret-Release fields of the message, top to bottom
#   recipients           all envelope recipients
#   body_hash            sub that answers body_hash() of its body; asked only if all else is right
#   passage              text that is the same when the MTA in front tries the same message again, and new when somebody
#                        sends it again: the whole header, with the Received: that the MTA has put there
sub judge {
  my (%o) = @_;
  my @values = grep { defined && length($_) <= $longest_value } @{ $o{values} };
  return if !@values;
  splice(@values, $most_values) if @values > $most_values;
  my ($key, $problem) = key($o{key_file});
  return (undef, $problem) if !defined $key;
  my $why = 'not signed with our key';
  for my $value (@values) {
    $value =~ s/\s+//g;
    my ($claims, $id, $until, $rcpt, $body, $sig) = $value =~ /\A
      (v1;id=([0-9]+);drop=[\w-]+;try=[0-9]+;until=([0-9]{1,12});rcpt=([\w-]*);body=([0-9a-f]{64}));sig=([\w-]{43})\z/xa
      or next;
    my $expected = encode_base64url(hmac_sha256("lazaret release\n$claims", $key));
    next if sha256_hex($expected) ne sha256_hex($sig);
    my $address    = plain(decode_base64url($rcpt));
    my @recipients = map { plain($_) } @{ $o{recipients} };
    if    ($until < time)                                                  { $why = "entry $id: too late" }
    elsif (!@recipients)                                                   { $why = "entry $id: no envelope recipient" }
    elsif (grep { $_ ne $address } @recipients)                            { $why = "entry $id: for somebody else" }
    elsif ($o{body_hash}->() ne $body)                                     { $why = "entry $id: another body" }
    elsif (my $trouble = passed_before($o{seen_dir}, $sig, $until, $o{passage})) { $why = "entry $id: $trouble" }
    else                                                                   { return ($id, undef) }
  }
  return (undef, $why);
}

# One address, one form: "odd name"@a.example may be told with its quotes or without.
sub plain {
  my ($address) = @_;
  utf8::encode($address) if utf8::is_utf8($address);
  my ($local, $domain) = lc($address) =~ /\A"(.*)"(\@[^@]*)\z/s or return lc $address;
  $local =~ s/\\(.)/$1/gs;
  return $local . $domain;
}

# Undef the first time; otherwise why it may not pass. Link is atomic: of two processes one has it.
sub passed_before {
  my ($folder, $sig, $until, $passage) = @_;
  my ($dir) = defined $folder ? $folder =~ m{\A(/[^\0]+)\z} : ();
  return 'no folder to remember it in' if !defined $dir;
  utf8::encode($passage) if utf8::is_utf8($passage);
  my $mark  = sha256_hex($passage);
  my $draft = sprintf('%s/.%d-%d-%d', $dir, $$, time, int rand 1e9);
  open(my $file, '>', $draft) or return "cannot remember it in $dir: $!";
  my $written = print {$file} $mark;
  close($file) && $written && utime($until, $until, $draft) or return "cannot remember it in $dir: $!";
  my $is_first = link($draft, "$dir/$sig");
  my $error    = $!;
  my $is_taken = $!{EEXIST};
  unlink $draft;
  if ($is_first) { forget($dir) if rand(20) < 1; return }
  return "cannot remember it in $dir: $error" if !$is_taken;
  open(my $seen, '<', "$dir/$sig") or return "cannot read what passed in $dir: $!";
  my $before = readline $seen;
  return defined $before && $before eq $mark ? undef : 'let through before, not again';
}

# What is not valid any more need not be remembered; and drafts of whoever died.
sub forget {
  my ($dir) = @_;
  opendir(my $all, $dir) or return;
  for my $entry (readdir $all) {
    my ($name) = $entry =~ /\A(\.?[\w-]+)\z/ or next;
    my $is_draft = $name =~ /\A\./;
    my $until    = (stat "$dir/$name")[$is_draft ? 10 : 9];
    unlink "$dir/$name" if defined $until && $until < time - ($is_draft ? 3600 : 60);
  }
}

sub key {
  my ($file) = @_;
  return (undef, 'no key file is named') if !defined $file;
  return $keys{$file} if defined $keys{$file};
  open(my $in, '<', $file) or return (undef, "$file: $!");
  my ($hex) = (readline($in) // '') =~ /\A\s*([0-9a-fA-F]{64})\s*\z/ or return (undef, "$file does not hold 64 hex digits");
  return $keys{$file} = pack('H*', $hex);
}

# SpamAssassin's side: `header LAZARET_RELEASED eval:check_lazaret_release()`, see spamassassin/lazaret-release.cf.
package Mail::SpamAssassin::Plugin::LazaretRelease;

our @ISA = ('Mail::SpamAssassin::Plugin');

sub new {
  my ($class, $main) = @_;
  require Mail::SpamAssassin::Plugin;
  require Mail::SpamAssassin::Logger;
  my $self = Mail::SpamAssassin::Plugin::new($class, $main);
  my $text = $Mail::SpamAssassin::Conf::CONF_TYPE_STRING;
  $main->{conf}{parser}->register_commands(
    [map { { setting => $_, is_admin => 1, type => $text } } qw(lazaret_key_file lazaret_seen_dir lazaret_recipient)]);
  $self->register_eval_rule('check_lazaret_release', $Mail::SpamAssassin::Conf::TYPE_HEAD_EVALS);
  return $self;
}

sub check_lazaret_release {
  my ($self, $pms) = @_;
  my $message = $pms->get_message;
  my @values = $message->get_pristine_header('X-Lazaret-Release');
  return 0 if !@values || !defined $values[0];
  my $conf = $pms->{conf};
  my ($id, $why) = LazaretRelease::judge(
    key_file   => $conf->{lazaret_key_file},
    seen_dir   => $conf->{lazaret_seen_dir},
    values     => \@values,
    recipients => [recipient($pms, $conf->{lazaret_recipient} // 'user')],
    body_hash  => sub {
      my $body = $message->get_pristine_body;
      return LazaretRelease::body_hash(sub { my $all = $body; undef $body; $all });
    },
    passage => scalar $message->get_pristine_header,
  );
  if (!defined $id) {
    Mail::SpamAssassin::Logger::info("lazaret: not let through: $why") if defined $why;
    return 0;
  }
  # It says nothing about mail like it, either way.
  $pms->{disable_auto_learning} = 1;
  $pms->test_log($id);
  return 1;
}

# SpamAssassin is not told the envelope: its user's name is the address (spamc -u), or a field that the MTA has put on top.
sub recipient {
  my ($pms, $from) = @_;
  my ($field) = $from =~ /\Aheader\s+([!-9;-~]+)\z/;
  my $text = defined $field ? $pms->get("$field:raw:first", '') : ($pms->{main}{username} // '');
  $text =~ s/\A\s*<?//;
  $text =~ s/>?\s*\z//;
  return $text =~ /.@./ ? ($text) : ();
}

1;
