"""A person's session by Python's imaplib, against the ports given: STARTTLS, then TLS. Prints done."""
import imaplib, ssl, sys

port, tls_port, user, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl._create_unverified_context()


def must(answer, what=None):
    typ, data = answer
    assert typ == 'OK', (typ, data)
    assert what is None or data == what, (data, what)
    return data


c = imaplib.IMAP4('127.0.0.1', port)
assert 'LOGINDISABLED' in c.capabilities, c.capabilities
try:
    c.login(user, password)
    raise SystemExit('a login without TLS was taken')
except imaplib.IMAP4.error as error:
    assert 'PRIVACYREQUIRED' in str(error), error
c.starttls(ssl_context=context)
c.login(user, password)
offered = must(c.capability())[0].split()
assert b'MOVE' in offered and b'UIDPLUS' in offered, offered
must(c.enable('CONDSTORE'))
names = [line.decode().split(' "/" ')[1].strip('"') for line in must(c.list())]
assert names == ['INBOX', 'Caught', 'Caught (Outgoing)', 'Training Requested', 'Release', 'Release &- Train',
                 'Spam', 'Not Spam', 'Trash'], names
must(c.lsub())
must(c.status('Caught', '(MESSAGES UNSEEN)'), [b'"Caught" (MESSAGES 4 UNSEEN 4)'])
must(c.select('Caught'), [b'4'])
must(c.search(None, 'SUBJECT', '"python 2"'), [b'2'])
must(c.uid('SEARCH', 'ALL'))
data = must(c.fetch('1', '(FLAGS RFC822.SIZE ENVELOPE BODY.PEEK[])'))
message = data[0][1]
assert message.startswith(b'X-Lazaret-Id: ') and b'Subject: python 1\r\n' in message, message
must(c.store('1', '+FLAGS', '(\\Seen Checked)'))
must(c.search(None, 'KEYWORD', 'Checked'), [b'1'])
# Bytes that are held may be put on Release, a stranger's may not.
must(c.append('Release', '', None, message))
typ, data = c.append('Release', '', None, b'Subject: mine\r\n\r\nx\r\n')
assert typ == 'NO' and b'[CANNOT]' in data[0], (typ, data)
must(c.append('Spam', '(\\Seen)', imaplib.Time2Internaldate(0), b'Subject: learn this\r\n\r\nx\r\n'))
must(c.copy('2', '"Not Spam"'))
must(c.uid('MOVE', must(c.uid('SEARCH', 'SUBJECT', '"python 3"'))[0].decode(), 'Release'))
must(c.noop())
must(c.store('3', '+FLAGS', '\\Deleted'))
assert must(c.expunge())[-1] == b'3'
for answer in (c.create('New'), c.delete('Caught'), c.rename('Caught', 'Newer')):
    assert answer[0] == 'NO' and b'[CANNOT]' in answer[1][0], answer
must(c.subscribe('Caught'))
must(c.unsubscribe('Caught'))
must(c.namespace())
must(c.check())
must(c.close())
must(c.select('Trash', readonly=True), [b'1'])
must(c.select('Release'), [b'0'])
assert c.logout()[0] == 'BYE'

s = imaplib.IMAP4_SSL('127.0.0.1', tls_port, ssl_context=context)
s.authenticate('PLAIN', lambda _: b'\0' + user.encode() + b'\0' + password.encode())
must(s.select('Caught'))
s.logout()
print('done')
