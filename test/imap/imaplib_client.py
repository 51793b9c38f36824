"""All that imaplib can do, against a server on the two ports given: plain with STARTTLS, and TLS. Prints done."""
import imaplib, ssl, sys
port = int(sys.argv[1])
c = imaplib.IMAP4('127.0.0.1', port)
context = ssl._create_unverified_context()
c.starttls(ssl_context=context)
c.login('bob', 'secret')
assert c.enable('CONDSTORE')[0] == 'OK'
assert c.list()[0] == 'OK'
assert c.lsub()[0] == 'OK'
assert c.select('Caught') == ('OK', [b'3'])
assert c.response('UIDVALIDITY')[1] == [b'7']
typ, data = c.fetch('1:*', '(FLAGS RFC822.SIZE BODY.PEEK[])')
assert typ == 'OK' and len([d for d in data if isinstance(d, tuple)]) == 3, data
assert c.search(None, 'SUBJECT', '"Number 2"') == ('OK', [b'2'])
assert c.uid('SEARCH', 'ALL') == ('OK', [b'1 2 3'])
assert c.store('1', '+FLAGS', '(\\Seen)')[0] == 'OK'
assert c.append('Caught', '(\\Flagged)', imaplib.Time2Internaldate(0), b'Subject: appended\r\n\r\nx')[0] == 'OK'
assert c.noop()[0] == 'OK'
assert c.status('Caught', '(MESSAGES UIDNEXT)') == ('OK', [b'"Caught" (MESSAGES 4 UIDNEXT 5)']), c.status('Caught', '(MESSAGES UIDNEXT)')
assert c.copy('1', 'Trash')[0] == 'OK'
assert c.uid('MOVE', '2', '"Release &- Train"')[0] == 'OK'
assert c.store('1', '+FLAGS', '\\Deleted')[0] == 'OK'
assert c.expunge()[1][-1] == b'1'
assert c.create('New')[0] == 'OK' and c.rename('New', 'Newer')[0] == 'OK' and c.delete('Newer')[0] == 'OK'
assert c.subscribe('Caught')[0] == 'OK' and c.unsubscribe('Caught')[0] == 'OK'
assert c.namespace()[0] == 'OK'
assert c.close()[0] == 'OK'
assert c.logout()[0] == 'BYE'
s = imaplib.IMAP4_SSL('127.0.0.1', int(sys.argv[2]), ssl_context=context)
s.authenticate('PLAIN', lambda _: b'\0bob\0secret')
s.logout()
print('done')
